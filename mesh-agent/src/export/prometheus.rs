//! The exposition: OpenMetrics text of everything measured at one moment.

mod exemplars;
mod routed;
mod rpc;

use super::instrument::{
    ACTIVE, APPLY_FAILED, BUILD, BYPASS, CLOSED, CONNECT_DURATION, CPU, DECISIONS, EVENTS_LOST,
    FAILED, GENERATION, Instrument, MAP_CAPACITY, MAP_ENTRIES, MAP_FULL, OPEN_FDS, OPENED,
    PROPAGATION, RECEIVED, REJECTED, RESIDENT, RETRANSMITS, RTT, SENT, START_TIME,
};
use crate::observe::{
    BypassSeries, ConnectionSeries, LossFigures, ProcessFigures, ProgressFigures, Snapshot,
};
use mesh_common::capture::Bypass;
use mesh_common::connection::{CloseReason, ConnectError};
use mesh_common::histogram::{BOUNDARIES_NS, BUCKETS, Histogram};
use mesh_common::meter::count::Skip;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, LabelSetEncoder,
    MetricEncoder, NoLabelSet,
};
use prometheus_client::registry::Registry;
use std::array;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything one exposition shows.
#[derive(Clone, Debug)]
pub struct Exposition {
    /// What the kernel and the proxy measured.
    pub snapshot: Arc<Snapshot>,
    /// How far the configuration has come.
    pub progress: ProgressFigures,
    /// What the agent lost of single RPCs.
    pub losses: LossFigures,
    /// What the proxy did not route.
    pub bypasses: Vec<BypassSeries>,
    /// What the agent itself uses.
    pub process: ProcessFigures,
    /// The agent's version.
    pub version: &'static str,
}

/// Writes the exposition as OpenMetrics text.
///
/// # Errors
/// Never for want of anything but a formatter that fails, which a string does not.
pub fn render(exposition: Exposition) -> Result<String, fmt::Error> {
    let snapshot = Arc::clone(&exposition.snapshot);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(exposition));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    rpc::add_exemplars(text, &snapshot.rpcs, &snapshot.routed)
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = &mut Families(&mut encoder);
        connections(families, &self.snapshot.connections)?;
        bypasses(families, &self.snapshot.connections, &self.bypasses)?;
        rpc::write(families, &self.snapshot.rpcs, &self.snapshot.routed)?;
        routed::write(families, &self.snapshot.routed.services)?;
        maps(families, &self.snapshot)?;
        events_lost(families, &self.losses, &self.snapshot)?;
        configuration(families, &self.progress)?;
        process(families, &self.process)?;
        families
            .begin(&BUILD)?
            .encode_info(&[("version", self.version)])
    }
}

fn connections(families: &mut Families<'_, '_>, all: &[ConnectionSeries]) -> fmt::Result {
    let each = |value: fn(&ConnectionSeries) -> u64| {
        all.iter().map(move |series| (Flow(series), value(series)))
    };
    families.counters(&OPENED, each(|series| series.opened))?;
    families.counters(&CLOSED, all.iter().flat_map(closed))?;
    families.counters(&FAILED, all.iter().flat_map(failed))?;
    families.gauges(&ACTIVE, each(active))?;
    families.histograms(
        &CONNECT_DURATION,
        ALL_BOUNDARIES,
        all.iter().map(|series| (Flow(series), &series.connect)),
    )?;
    families.histograms(
        &RTT,
        ALL_BOUNDARIES,
        all.iter().map(|series| (Flow(series), &series.rtt)),
    )?;
    families.counters(&SENT, each(|series| series.sent_bytes))?;
    families.counters(&RECEIVED, each(|series| series.received_bytes))?;
    families.counters(&RETRANSMITS, each(|series| series.retransmits))
}

/// Connections opened and not yet ended.
fn active(series: &ConnectionSeries) -> u64 {
    let ended = series
        .closed
        .iter()
        .fold(0, |sum: u64, count| sum.saturating_add(*count));
    series.opened.saturating_sub(ended)
}

/// The reasons that have occurred; five for each pair would be mostly zeros.
fn closed(series: &ConnectionSeries) -> impl Iterator<Item = (impl EncodeLabelSet + '_, u64)> {
    CloseReason::ALL
        .iter()
        .zip(series.closed)
        .filter(|(_, count)| *count > 0)
        .map(move |((_, reason), count)| ((Flow(series), [("reason", *reason)]), count))
}

/// The errors that have occurred.
fn failed(series: &ConnectionSeries) -> impl Iterator<Item = (impl EncodeLabelSet + '_, u64)> {
    ConnectError::ALL
        .iter()
        .zip(series.failed)
        .filter(|(_, count)| *count > 0)
        .map(move |((_, errno), count)| ((Flow(series), [("errno", *errno)]), count))
}

/// What the kernel did not send to the proxy and what the proxy did not route, by service.
fn bypasses(
    families: &mut Families<'_, '_>,
    connections: &[ConnectionSeries],
    by_proxy: &[BypassSeries],
) -> fmt::Result {
    let mut counts = BTreeMap::new();
    for series in connections {
        let to = &series.destination;
        for ((_, reason), count) in Bypass::ALL.iter().zip(series.bypassed) {
            *counts
                .entry((&*to.service, &*to.namespace, *reason))
                .or_insert(0) += count;
        }
    }
    for BypassSeries {
        service,
        namespace,
        reason,
        count,
    } in by_proxy
    {
        *counts
            .entry((&**service, &**namespace, *reason))
            .or_insert(0) += count;
    }
    let seen = counts.into_iter().filter(|(_, count)| *count > 0);
    let labelled = seen.map(|((service, namespace, reason), count)| {
        let labels = [
            ("destination_service", service),
            ("destination_namespace", namespace),
            ("reason", reason),
        ];
        (labels, count)
    });
    families.counters(&BYPASS, labelled)
}

fn maps(families: &mut Families<'_, '_>, snapshot: &Snapshot) -> fmt::Result {
    let maps = &snapshot.maps;
    families.gauges(
        &MAP_ENTRIES,
        maps.iter()
            .filter_map(|map| Some(([("map", map.name)], map.entries?))),
    )?;
    families.gauges(
        &MAP_CAPACITY,
        maps.iter()
            .filter_map(|map| Some(([("map", map.name)], map.capacity?))),
    )?;
    families.counters(
        &MAP_FULL,
        maps.iter().map(|map| ([("map", map.name)], map.full_total)),
    )?;
    families.counters(
        &DECISIONS,
        snapshot
            .counters
            .iter()
            .map(|(reason, count)| ([("reason", *reason)], *count)),
    )
}

fn events_lost(
    families: &mut Families<'_, '_>,
    losses: &LossFigures,
    snapshot: &Snapshot,
) -> fmt::Result {
    let (_, full) = Skip::ALL[Skip::ObservedFull as usize];
    let skipped = snapshot.rpcs.skipped.iter();
    let observations = skipped
        .filter(|(reason, _)| *reason == full)
        .map(|(_, count)| count)
        .sum();
    let kinds = [
        ("observation", observations),
        ("span", losses.spans),
        ("tap", losses.tap_lines),
        ("log", losses.log_lines),
        ("call", snapshot.routed.lost),
    ];
    families.counters(
        &EVENTS_LOST,
        kinds
            .into_iter()
            .map(|(kind, count)| ([("kind", kind)], count)),
    )
}

fn configuration(families: &mut Families<'_, '_>, progress: &ProgressFigures) -> fmt::Result {
    families.gauges(
        &GENERATION,
        [
            ([("target", "seen")], progress.generation_seen),
            ([("target", "kernel")], progress.generation_kernel),
        ]
        .into_iter(),
    )?;
    families.gauge(&REJECTED, progress.rejected)?;
    families.counter(&APPLY_FAILED, progress.apply_failures)?;
    write_histogram(
        families.begin(&PROPAGATION)?,
        ALL_BOUNDARIES,
        &progress.propagation,
    )
}

fn process(families: &mut Families<'_, '_>, figures: &ProcessFigures) -> fmt::Result {
    if let Some(bytes) = figures.resident_bytes {
        families.gauge(&RESIDENT, bytes)?;
    }
    if let Some(seconds) = figures.cpu_seconds {
        families.counter(&CPU, seconds)?;
    }
    if let Some(count) = figures.open_fds {
        families.gauge(&OPEN_FDS, count)?;
    }
    families.gauge(&START_TIME, figures.start_time_seconds)
}

/// Labels of a (source, destination).
#[derive(Debug)]
struct Flow<'a>(&'a ConnectionSeries);

impl EncodeLabelSet for Flow<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let Self(ConnectionSeries {
            source,
            destination,
            path,
            ..
        }) = self;
        [
            ("source_workload", &*source.workload),
            ("source_namespace", &*source.namespace),
            ("destination_service", &*destination.service),
            ("destination_namespace", &*destination.namespace),
            ("destination_workload", &*destination.workload),
            ("path", path.as_str()),
        ]
        .encode(encoder)
    }
}

/// Writes families one after the other.
struct Families<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Families<'_, '_> {
    fn begin(&mut self, instrument: &'static Instrument) -> Result<MetricEncoder<'_>, fmt::Error> {
        self.0.encode_descriptor(
            instrument.name,
            instrument.help,
            instrument.unit.as_ref(),
            instrument.kind,
        )
    }

    fn counter(
        &mut self,
        instrument: &'static Instrument,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.begin(instrument)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn gauge(
        &mut self,
        instrument: &'static Instrument,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.begin(instrument)?.encode_gauge(&value)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        instrument: &'static Instrument,
        samples: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.begin(instrument)?;
        for (labels, value) in samples {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        instrument: &'static Instrument,
        samples: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = self.begin(instrument)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        instrument: &'static Instrument,
        first_boundary: usize,
        samples: impl Iterator<Item = (L, &'h Histogram)>,
    ) -> fmt::Result {
        let mut family = self.begin(instrument)?;
        for (labels, histogram) in samples {
            write_histogram(family.encode_family(&labels)?, first_boundary, histogram)?;
        }
        Ok(())
    }
}

/// The first boundary of a histogram that shows them all.
const ALL_BOUNDARIES: usize = 0;

/// Writes one of the kernel's histograms, in seconds; what lies below the first boundary shown counts there.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum of more than 2^52 ns (52 days of waiting) may lose single ns"
)]
fn write_histogram(
    mut encoder: MetricEncoder<'_>,
    first_boundary: usize,
    histogram: &Histogram,
) -> fmt::Result {
    // The encoder sums the buckets unchecked; no count of real connections comes near this.
    const COUNT_MAX: u64 = u64::MAX / BUCKETS as u64;
    let mut buckets: [(f64, u64); BUCKETS] = array::from_fn(|index| {
        let upper_bound = BOUNDARIES_NS
            .get(index)
            .map_or(f64::INFINITY, |ns| *ns as f64 / 1e9);
        (upper_bound, histogram.buckets[index].min(COUNT_MAX))
    });
    let count = buckets.iter().map(|(_, count)| count).sum();
    let (below, shown) = buckets.split_at_mut(first_boundary);
    shown[0].1 += below.iter().map(|(_, count)| count).sum::<u64>();
    let sum_seconds = histogram.sum_ns as f64 / 1e9;
    encoder.encode_histogram::<NoLabelSet>(sum_seconds, count, shown, None)
}

#[cfg(test)]
mod tests;
