//! RPC counts: rows of ended RPCs and what open ones have moved so far, added up by labels.
//!
//! Rows are read before the open RPCs: one that ends in between is in neither, so a figure may be a little behind for a
//! moment, never ahead; and none goes back.

use super::ends::Ends;
use super::methods::Methods;
use crate::observe::{CallSeries, RpcFigures, RpcLabels, RpcSeries};
use mesh_common::histogram::{Histogram, bucket};
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{METHOD_OTHER, RpcKey, RpcRow, Side, Stream};
use std::collections::{BTreeMap, HashMap};
use zerocopy::FromZeros;

/// What open RPCs of one kind add up to.
#[derive(Clone, Copy, Debug)]
struct Open {
    count: u64,
    first_response: Histogram,
    request_bytes: u64,
    response_bytes: u64,
}

/// What tells open RPCs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct OpenKey {
    path: u64,
    label: u64,
    source: u32,
    destination: u32,
    service: u32,
    is_client: bool,
}

/// Open RPCs, added up.
#[derive(Debug, Default)]
pub(super) struct OpenRpcs(HashMap<OpenKey, Open>);

impl OpenRpcs {
    /// Adds one.
    pub(super) fn add(&mut self, stream: &Stream) {
        let key = OpenKey {
            path: stream.path,
            label: stream.label,
            source: stream.source,
            destination: stream.destination,
            service: stream.service,
            is_client: stream.side != Side::Server as u32,
        };
        let open = self.0.entry(key).or_insert_with(|| Open {
            count: 0,
            first_response: Histogram::new_zeroed(),
            request_bytes: 0,
            response_bytes: 0,
        });
        open.count += 1;
        open.request_bytes += stream.request_bytes;
        open.response_bytes += stream.response_bytes;
        if stream.first_ns != 0 {
            observe(
                &mut open.first_response,
                stream.first_ns.saturating_sub(stream.started_ns),
            );
        }
    }
}

/// Adds one duration.
pub(super) fn observe(histogram: &mut Histogram, duration_ns: u64) {
    // `bucket` returns less than the number of buckets for every duration.
    histogram.buckets[bucket(duration_ns)] += 1;
    histogram.sum_ns += duration_ns;
}

/// Series in the making.
pub(super) struct Sums<'a> {
    ends: &'a Ends,
    methods: &'a Methods,
    client: BTreeMap<(RpcLabels, u32), Histogram>,
    server: BTreeMap<(RpcLabels, u32), Histogram>,
    rpcs: BTreeMap<(RpcLabels, bool), RpcSeries>,
}

impl<'a> Sums<'a> {
    /// Starts with nothing.
    pub(super) fn new(ends: &'a Ends, methods: &'a Methods) -> Self {
        Self {
            ends,
            methods,
            client: BTreeMap::new(),
            server: BTreeMap::new(),
            rpcs: BTreeMap::new(),
        }
    }

    /// Adds ended RPCs. A row of a side that no program writes is left out; one of lost RPCs has no calls, only what they
    /// moved.
    pub(super) fn add_row(&mut self, key: &RpcKey, row: &RpcRow) {
        let Some(side) = Side::from_u32(key.side) else {
            return;
        };
        let labels = self.labels(key.source, key.destination, key.method);
        let status = StatusCode::from_u32(key.status) as u32;
        let has_calls = row.duration.buckets.iter().any(|count| *count > 0);
        for (is_seen, calls) in [
            (side.is_client(), &mut self.client),
            (side.is_server(), &mut self.server),
        ] {
            if is_seen && has_calls {
                let sum = calls
                    .entry((labels.clone(), status))
                    .or_insert_with(Histogram::new_zeroed);
                add(sum, &row.duration);
            }
        }
        let series = self.series(labels, side.is_client());
        series.completed += row.duration.buckets.iter().sum::<u64>();
        add(&mut series.first_response, &row.first_response);
        series.request_bytes += row.request_bytes;
        series.response_bytes += row.response_bytes;
    }

    /// Adds open RPCs. They are active under the label they began with. What they have moved counts under the one they
    /// will end with; while that is not decided, it waits, so that nothing moves from one label to another.
    pub(super) fn add_open(&mut self, open: &OpenRpcs) {
        for (key, open) in &open.0 {
            let began = self.labels(key.source, key.destination, key.label);
            self.series(began, key.is_client).active += open.count;
            let label = self.methods.label(key.service, key.path);
            if label == METHOD_OTHER {
                continue;
            }
            let labels = self.labels(key.source, key.destination, label);
            let series = self.series(labels, key.is_client);
            add(&mut series.first_response, &open.first_response);
            series.request_bytes += open.request_bytes;
            series.response_bytes += open.response_bytes;
        }
    }

    /// The series, none behind what was exported before.
    pub(super) fn finish(self, ledger: &mut Ledger) -> RpcFigures {
        let mut rpcs: Vec<RpcSeries> = self.rpcs.into_values().collect();
        ledger.clamp(&mut rpcs);
        RpcFigures {
            client: calls(self.client),
            server: calls(self.server),
            rpcs,
            ..RpcFigures::default()
        }
    }

    fn labels(&self, source: u32, destination: u32, method: u64) -> RpcLabels {
        RpcLabels {
            source: self.ends.source(source),
            destination: self.ends.destination(destination),
            method: self.methods.name(method),
        }
    }

    fn series(&mut self, labels: RpcLabels, is_client: bool) -> &mut RpcSeries {
        self.rpcs
            .entry((labels, is_client))
            .or_insert_with_key(|(labels, is_client)| RpcSeries {
                labels: labels.clone(),
                is_client: *is_client,
                completed: 0,
                active: 0,
                first_response: Histogram::new_zeroed(),
                request_bytes: 0,
                response_bytes: 0,
            })
    }
}

fn calls(sums: BTreeMap<(RpcLabels, u32), Histogram>) -> Vec<CallSeries> {
    sums.into_iter()
        .map(|((labels, status), duration)| CallSeries {
            exemplars: vec![],
            labels,
            status: StatusCode::from_u32(status),
            duration,
        })
        .collect()
}

fn add(sum: &mut Histogram, part: &Histogram) {
    for (sum, part) in sum.buckets.iter_mut().zip(&part.buckets) {
        *sum += part;
    }
    sum.sum_ns += part.sum_ns;
}

/// What was exported last, so that nothing goes back.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    exported: HashMap<(RpcLabels, bool), RpcSeries>,
}

impl Ledger {
    /// Raises figures that would be less than the ones exported before, and remembers the rest. Rows that were
    /// removed and begin anew are others.
    fn clamp(&mut self, all: &mut [RpcSeries]) {
        let mut exported = HashMap::with_capacity(all.len());
        for series in all {
            let key = (series.labels.clone(), series.is_client);
            if let Some(last) = self
                .exported
                .get(&key)
                .filter(|last| last.completed <= series.completed)
            {
                raise(&mut series.request_bytes, last.request_bytes);
                raise(&mut series.response_bytes, last.response_bytes);
                raise(
                    &mut series.first_response.sum_ns,
                    last.first_response.sum_ns,
                );
                let buckets = series.first_response.buckets.iter_mut();
                for (bucket, last) in buckets.zip(last.first_response.buckets) {
                    raise(bucket, last);
                }
            }
            exported.insert(key, series.clone());
        }
        self.exported = exported;
    }
}

fn raise(figure: &mut u64, last: u64) {
    *figure = last.max(*figure);
}

#[cfg(test)]
mod tests;
