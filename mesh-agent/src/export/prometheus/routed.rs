//! What the proxy did for and to calls, in the exposition.

use super::Families;
use crate::export::instrument::{
    CIRCUIT_OPEN, EJECTIONS, FALLBACK, FAULTS, Instrument, LOCAL_REPLIES, MIRRORED, RATE_LIMITED,
    RETRIES, TIMEOUTS, UPSTREAM_ACTIVE, UPSTREAM_OPENED,
};
use crate::observe::{Counts, ServiceSeries};
use std::fmt;

/// Writes every family. Of what has not happened there is no sample, connections aside.
pub(super) fn write(families: &mut Families<'_, '_>, all: &[ServiceSeries]) -> fmt::Result {
    let mut by = |instrument: &'static Instrument, label, counts: fn(&ServiceSeries) -> &Counts| {
        let samples = all.iter().flat_map(|series| {
            let [service, namespace] = labels(series);
            let counts = counts(series).iter();
            counts.map(move |(value, count)| ([service, namespace, (label, *value)], *count))
        });
        families.counters(instrument, samples)
    };
    by(&RETRIES, "result", |series| &series.retries)?;
    by(&TIMEOUTS, "kind", |series| &series.timeouts)?;
    by(&FAULTS, "kind", |series| &series.faults)?;
    by(&MIRRORED, "result", |series| &series.mirrored)?;
    by(&LOCAL_REPLIES, "reason", |series| &series.local_replies)?;
    let mut of = |instrument: &'static Instrument, count: fn(&ServiceSeries) -> u64| {
        let samples = all.iter().map(|series| (labels(series), count(series)));
        families.counters(instrument, samples.filter(|(_, count)| *count > 0))
    };
    of(&EJECTIONS, |series| series.ejections)?;
    of(&RATE_LIMITED, |series| series.rate_limited)?;
    of(&CIRCUIT_OPEN, |series| series.circuit_open)?;
    of(&FALLBACK, |series| series.fallback)?;
    of(&UPSTREAM_OPENED, |series| series.connections_opened)?;
    let connected = all.iter().filter(|series| series.connections_opened > 0);
    families.gauges(
        &UPSTREAM_ACTIVE,
        connected.map(|series| (labels(series), series.connections_active)),
    )
}

fn labels(series: &ServiceSeries) -> [(&'static str, &str); 2] {
    [
        ("destination_service", &series.service),
        ("destination_namespace", &series.namespace),
    ]
}
