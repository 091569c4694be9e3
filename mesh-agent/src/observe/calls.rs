//! Calls of the routed path, added up: what the proxy tells of each becomes series. Nothing that is counted goes back.

mod methods;

use super::{
    CallOutcome, CallSeries, CallUnderWay, DestinationLabels, Exemplar, LocalReply, METHOD_OTHER,
    RpcLabels, RpcSeries, SourceLabels,
};
use mesh_common::histogram::{BUCKETS, Histogram, bucket};
use mesh_common::meter::StatusCode;
use methods::Methods;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Sources, destinations and methods that are told apart, as many as the kernel has rows for RPCs by default; calls of what comes
/// later are counted with [`METHOD_OTHER`] in every label.
const SERIES_MAX: usize = 16_384;

/// Services that are told apart; what befalls calls to others is counted under [`METHOD_OTHER`].
const SERVICES_MAX: usize = 8_192;

/// The `kind` of the timeout that a try has.
const TRY_TIMEOUT: &str = "backend_request";

/// How often something has happened, by the value of the label that says what.
pub type Counts = BTreeMap<&'static str, u64>;

/// What the proxy did for or to calls to one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSeries {
    /// `destination_service`.
    pub service: Arc<str>,
    /// `destination_namespace`.
    pub namespace: Arc<str>,
    /// Calls that were to be tried again, by what became of it (`result`).
    pub retries: Counts,
    /// Calls over a rate limit.
    pub rate_limited: u64,
    /// Calls that an open circuit kept away.
    pub circuit_open: u64,
    /// Calls for which a fallback answered.
    pub fallback: u64,
    /// Calls and tries that took too long, by the bound (`kind`).
    pub timeouts: Counts,
    /// Failures made on purpose, by `kind`.
    pub faults: Counts,
    /// Copies of requests, by what became of them (`result`).
    pub mirrored: Counts,
    /// Answers that the mesh made itself, by `reason`.
    pub local_replies: Counts,
    /// Endpoints that got no more requests for a while.
    pub ejections: u64,
    /// Connections to endpoints that are open now.
    pub connections_active: u64,
    /// Connections to endpoints ever made.
    pub connections_opened: u64,
}

/// Everything known of the routed path at one moment.
#[derive(Clone, Debug, Default)]
pub struct RoutedFigures {
    /// gRPC calls by clients on this node, one for each call, ordered.
    pub calls: Vec<CallSeries>,
    /// What else is known of them, ordered.
    pub rpcs: Vec<RpcSeries>,
    /// By destination, ordered.
    pub services: Vec<ServiceSeries>,
    /// Calls that were not counted, because they ended faster than they were read.
    pub lost: u64,
}

/// What the proxy counts of a Service besides calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSeries {
    /// `destination_service`.
    pub service: Arc<str>,
    /// `destination_namespace`.
    pub namespace: Arc<str>,
    /// Connections open now.
    pub active: u64,
    /// Connections ever made.
    pub opened: u64,
    /// How often an endpoint was taken out because it failed.
    pub ejections: u64,
    /// Copies of requests that were answered.
    pub mirrors_sent: u64,
    /// Copies of requests that were not.
    pub mirrors_failed: u64,
}

/// The sums.
#[derive(Debug, Default)]
pub struct Calls {
    methods: Methods,
    series: HashMap<RpcLabels, Sums>,
    services: BTreeMap<ServiceKey, ServiceSeries>,
}

/// Namespace and name.
type ServiceKey = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct Sums {
    by_status: Vec<StatusSums>,
    completed: u64,
    first_response: Histogram,
    request_bytes: u64,
    response_bytes: u64,
}

#[derive(Debug)]
struct StatusSums {
    status: StatusCode,
    duration: Histogram,
    exemplars: Vec<Exemplar>,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            by_status: vec![],
            completed: 0,
            first_response: EMPTY,
            request_bytes: 0,
            response_bytes: 0,
        }
    }
}

impl Sums {
    fn of_status(&mut self, status: StatusCode) -> &mut StatusSums {
        let known = self.by_status.iter().position(|sums| sums.status == status);
        let place = known.unwrap_or_else(|| {
            self.by_status.push(StatusSums {
                status,
                duration: EMPTY,
                exemplars: vec![],
            });
            self.by_status.len() - 1
        });
        &mut self.by_status[place]
    }
}

const EMPTY: Histogram = Histogram {
    buckets: [0; BUCKETS],
    sum_ns: 0,
};

impl Calls {
    /// Adds a call; `ended`: when it has, by the calendar. Returns the label of its method.
    pub fn add(&mut self, outcome: &CallOutcome, ended: SystemTime) -> Arc<str> {
        self.add_events(outcome);
        let path = outcome.path.as_ref().map_or("", |path| path.as_str());
        if !outcome.is_grpc {
            return self.methods.label(&outcome.destination, path);
        }
        if has_answered(outcome) {
            let since = outcome.started + outcome.duration;
            self.methods.learn(&outcome.destination, path, since);
        }
        let method = self.methods.label(&outcome.destination, path);
        let sums = self.sums(RpcLabels {
            source: (*outcome.source).clone(),
            destination: (*outcome.destination).clone(),
            method: Arc::clone(&method),
        });
        sums.completed += 1;
        sums.request_bytes += outcome.request_bytes;
        sums.response_bytes += outcome.response_bytes;
        if let Some(time) = outcome.first_response {
            observe(&mut sums.first_response, time);
        }
        let of_status = sums.of_status(outcome.status);
        observe(&mut of_status.duration, outcome.duration);
        if let Some(trace_id) = outcome.recorded_trace() {
            Exemplar::new(trace_id, outcome.duration, ended).join(&mut of_status.exemplars);
        }
        method
    }

    /// The series, with what is open now and what is known of connections to endpoints.
    #[must_use]
    pub fn figures(&self, open: &[CallUnderWay], upstream: &[UpstreamSeries]) -> RoutedFigures {
        let mut calls: Vec<CallSeries> = self.series.iter().flat_map(call_series).collect();
        calls.sort_unstable_by(|one, other| {
            let order = one.labels.cmp(&other.labels);
            order.then((one.status as u32).cmp(&(other.status as u32)))
        });
        RoutedFigures {
            calls,
            rpcs: self.rpcs(open),
            services: self.services_with(upstream),
            lost: 0,
        }
    }

    /// A call under way counts under the label that its method had when it began, as on the direct path.
    fn rpcs(&self, open: &[CallUnderWay]) -> Vec<RpcSeries> {
        let mut all: BTreeMap<RpcLabels, RpcSeries> = self
            .series
            .iter()
            .map(|(labels, sums)| (labels.clone(), rpc_series(labels, sums)))
            .collect();
        for open in open {
            let labels = RpcLabels {
                source: (*open.source).clone(),
                destination: (*open.destination).clone(),
                method: self
                    .methods
                    .label_at(&open.destination, open.path.as_str(), open.started),
            };
            let labels = if all.len() < SERIES_MAX || all.contains_key(&labels) {
                labels
            } else {
                others()
            };
            let series = all
                .entry(labels)
                .or_insert_with_key(|labels| rpc_series(labels, &Sums::default()));
            series.active += 1;
        }
        all.into_values().collect()
    }

    fn services_with(&self, upstream: &[UpstreamSeries]) -> Vec<ServiceSeries> {
        let mut all = self.services.clone();
        for upstream in upstream {
            let key = (
                Arc::clone(&upstream.namespace),
                Arc::clone(&upstream.service),
            );
            let series = all.entry(key).or_insert_with_key(empty_service);
            series.ejections += upstream.ejections;
            series.connections_active += upstream.active;
            series.connections_opened += upstream.opened;
            for (result, count) in [
                ("success", upstream.mirrors_sent),
                ("failure", upstream.mirrors_failed),
            ] {
                if count > 0 {
                    *series.mirrored.entry(result).or_default() += count;
                }
            }
        }
        all.into_values().collect()
    }

    /// What befell the call, whether it is gRPC or not.
    fn add_events(&mut self, outcome: &CallOutcome) {
        let count = |counts: &mut Counts, value| *counts.entry(value).or_default() += 1;
        if let Some(replaced) = &outcome.replaced {
            let series = self.service(&replaced.destination);
            series.fallback += 1;
            series.circuit_open += u64::from(replaced.reason == Some(LocalReply::CircuitOpen));
        }
        for attempt in outcome
            .attempts
            .iter()
            .filter(|attempt| attempt.is_timed_out)
        {
            let series = self.service(&attempt.destination);
            count(&mut series.timeouts, TRY_TIMEOUT);
        }
        let is_eventful = outcome.retry.is_some()
            || outcome.timeout.is_some()
            || outcome.is_delayed
            || outcome.local_reply.is_some();
        if !is_eventful {
            return;
        }
        if let Some(result) = outcome.retry {
            // A fallback may be where it went in the end.
            let tried = outcome.attempts.first();
            let retried = tried.map_or(&outcome.destination, |first| &first.destination);
            count(&mut self.service(retried).retries, result);
        }
        let series = self.service(&outcome.destination);
        // Those of tries are counted above.
        if let Some(kind) = outcome.timeout.filter(|kind| *kind != TRY_TIMEOUT) {
            count(&mut series.timeouts, kind);
        }
        if outcome.is_delayed {
            count(&mut series.faults, "delay");
        }
        let Some(reason) = outcome.local_reply else {
            return;
        };
        count(&mut series.local_replies, reason.as_str());
        series.rate_limited += u64::from(reason == LocalReply::RateLimited);
        series.circuit_open += u64::from(reason == LocalReply::CircuitOpen);
        if reason == LocalReply::Fault {
            count(&mut series.faults, "abort");
        }
    }

    fn sums(&mut self, labels: RpcLabels) -> &mut Sums {
        let has_room = self.series.len() < SERIES_MAX || self.series.contains_key(&labels);
        let labels = if has_room { labels } else { others() };
        self.series.entry(labels).or_default()
    }

    fn service(&mut self, labels: &DestinationLabels) -> &mut ServiceSeries {
        let mut key = (Arc::clone(&labels.namespace), Arc::clone(&labels.service));
        if self.services.len() >= SERVICES_MAX && !self.services.contains_key(&key) {
            key = (Arc::from(""), Arc::from(METHOD_OTHER));
        }
        self.services.entry(key).or_insert_with_key(empty_service)
    }
}

/// Whether a server has answered with anything but UNIMPLEMENTED: then it has the method.
fn has_answered(outcome: &CallOutcome) -> bool {
    let mut answers = outcome
        .attempts
        .iter()
        .filter(|attempt| attempt.is_answered);
    answers.any(|attempt| !attempt.is_timed_out && attempt.status != StatusCode::Unimplemented)
}

fn empty_service((namespace, service): &ServiceKey) -> ServiceSeries {
    ServiceSeries {
        service: Arc::clone(service),
        namespace: Arc::clone(namespace),
        ..ServiceSeries::default()
    }
}

fn others() -> RpcLabels {
    let other: Arc<str> = Arc::from(METHOD_OTHER);
    RpcLabels {
        source: SourceLabels {
            workload: Arc::clone(&other),
            namespace: Arc::from(""),
        },
        destination: DestinationLabels {
            service: Arc::clone(&other),
            namespace: Arc::from(""),
            workload: Arc::from(""),
        },
        method: other,
    }
}

fn call_series((labels, sums): (&RpcLabels, &Sums)) -> impl Iterator<Item = CallSeries> {
    let by_status = sums.by_status.iter();
    by_status.map(|of_status| CallSeries {
        labels: labels.clone(),
        status: of_status.status,
        duration: of_status.duration,
        exemplars: of_status.exemplars.clone(),
    })
}

fn rpc_series(labels: &RpcLabels, sums: &Sums) -> RpcSeries {
    RpcSeries {
        labels: labels.clone(),
        is_client: true,
        completed: sums.completed,
        active: 0,
        first_response: sums.first_response,
        request_bytes: sums.request_bytes,
        response_bytes: sums.response_bytes,
    }
}

fn observe(histogram: &mut Histogram, duration: Duration) {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    // `bucket` returns less than the number of buckets for every duration.
    histogram.buckets[bucket(ns)] += 1;
    histogram.sum_ns = histogram.sum_ns.saturating_add(ns);
}

#[cfg(test)]
mod tests;
