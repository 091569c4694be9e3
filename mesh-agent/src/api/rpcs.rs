//! RPCs by Service and method, counted since the programs were loaded, or the agent was started where they are routed.

use super::qualified;
use crate::observe::{CallSeries, Path, RpcLabels, RpcSeries, Snapshot};
use mesh_common::histogram::{BOUNDARIES_NS, BUCKETS};
use mesh_common::meter::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// `/api/rpcs`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rpcs {
    /// When this was read, on a clock that only serves to compare two readings.
    pub taken_seconds: f64,
    /// Upper bounds of all buckets but the last, which has none.
    pub boundaries_seconds: Vec<f64>,
    /// Ordered by Service, method, side and path.
    pub methods: Vec<MethodTotals>,
}

/// Which end of its RPCs an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RpcSide {
    /// Clients on this node, wherever the server is.
    Client,
    /// Servers on this node, wherever the client is; listed where some clients are elsewhere, or are the proxy.
    Server,
}

/// RPCs of one method of one Service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodTotals {
    /// `namespace/name` of the Service.
    pub service: String,
    /// `package.Service/Method`, or `_OTHER`.
    pub method: String,
    /// Which end.
    pub side: RpcSide,
    /// `direct` or `routed`; empty where the end is the server's.
    pub path: String,
    /// RPCs that have ended, by status.
    pub statuses: BTreeMap<String, u64>,
    /// How many of them took at most as long as each boundary; the last: all of them.
    pub buckets: Vec<u64>,
    /// How long they took in all.
    pub sum_seconds: f64,
    /// RPCs that are open; under `server` those of clients elsewhere, and of the proxy, alone.
    pub active: u64,
}

impl MethodTotals {
    /// RPCs that have ended.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// RPCs that ended with any status but `OK`, as far as it was seen.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let fine = [StatusCode::Ok.label(), StatusCode::Unseen.label()];
        self.statuses
            .iter()
            .filter(|(status, _)| !fine.contains(&status.as_str()))
            .map(|(_, count)| count)
            .sum()
    }
}

/// What tells entries apart.
type Key = (String, String, RpcSide, &'static str);

impl From<&Snapshot> for Rpcs {
    fn from(snapshot: &Snapshot) -> Self {
        let figures = &snapshot.rpcs;
        let mut methods: BTreeMap<Key, MethodTotals> = BTreeMap::new();
        let routed = &snapshot.routed;
        for (path, rpcs, calls) in [
            (Path::Direct, &figures.rpcs, &figures.client),
            (Path::Routed, &routed.rpcs, &routed.calls),
        ] {
            for series in rpcs {
                add_active(&mut methods, series, path);
            }
            for series in calls {
                add_calls(entry(&mut methods, &series.labels, Some(path)), series);
            }
        }
        for series in &figures.server {
            // Listed above if clients elsewhere call it.
            if let Some(totals) = methods.get_mut(&key(&series.labels, None)) {
                add_calls(totals, series);
            }
        }
        Self {
            taken_seconds: Duration::from_nanos(snapshot.taken_ns).as_secs_f64(),
            boundaries_seconds: BOUNDARIES_NS
                .iter()
                .map(|ns| Duration::from_nanos(*ns).as_secs_f64())
                .collect(),
            methods: methods.into_values().collect(),
        }
    }
}

/// `path`: the client's; `None`: the end is the server's.
fn key(labels: &RpcLabels, path: Option<Path>) -> Key {
    let destination = &labels.destination;
    let service = qualified(&destination.namespace, &destination.service);
    let (side, path) = match path {
        Some(path) => (RpcSide::Client, path.as_str()),
        None => (RpcSide::Server, ""),
    };
    (service, labels.method.to_string(), side, path)
}

fn entry<'a>(
    methods: &'a mut BTreeMap<Key, MethodTotals>,
    labels: &RpcLabels,
    path: Option<Path>,
) -> &'a mut MethodTotals {
    let key = key(labels, path);
    let (service, method, side, path) = key.clone();
    methods.entry(key).or_insert_with(|| MethodTotals {
        service,
        method,
        side,
        path: path.to_owned(),
        statuses: BTreeMap::new(),
        buckets: vec![0; BUCKETS],
        sum_seconds: 0.0,
        active: 0,
    })
}

fn add_active(methods: &mut BTreeMap<Key, MethodTotals>, series: &RpcSeries, path: Path) {
    let path = series.is_client.then_some(path);
    entry(methods, &series.labels, path).active += series.active;
}

fn add_calls(totals: &mut MethodTotals, series: &CallSeries) {
    let mut count = 0;
    for (sum, bucket) in totals.buckets.iter_mut().zip(series.duration.buckets) {
        count += bucket;
        *sum += count;
    }
    let status = series.status.label().to_owned();
    *totals.statuses.entry(status).or_default() += count;
    totals.sum_seconds += Duration::from_nanos(series.duration.sum_ns).as_secs_f64();
}

#[cfg(test)]
mod tests {
    use super::{RpcSide, Rpcs};
    use crate::observe::{
        CallSeries, DestinationLabels, RoutedFigures, RpcFigures, RpcLabels, RpcSeries, Snapshot,
        SourceLabels,
    };
    use mesh_common::histogram::{BUCKETS, Histogram};
    use mesh_common::meter::StatusCode;
    use std::sync::Arc;

    fn labels(source: &str) -> RpcLabels {
        RpcLabels {
            source: SourceLabels {
                workload: Arc::from(source),
                namespace: Arc::from("shop"),
            },
            destination: DestinationLabels {
                service: Arc::from("inventory"),
                namespace: Arc::from("shop"),
                workload: Arc::from("inventory-v2"),
            },
            method: Arc::from("shop.Inventory/Reserve"),
        }
    }

    fn calls(source: &str, status: StatusCode, bucket: usize, count: u64) -> CallSeries {
        let mut duration = Histogram {
            buckets: [0; BUCKETS],
            sum_ns: 1_000_000_000 * count,
        };
        duration.buckets[bucket] = count;
        CallSeries {
            exemplars: vec![],
            labels: labels(source),
            status,
            duration,
        }
    }

    fn series(source: &str, is_client: bool, active: u64) -> RpcSeries {
        RpcSeries {
            labels: labels(source),
            is_client,
            completed: 1,
            active,
            first_response: Histogram {
                buckets: [0; BUCKETS],
                sum_ns: 0,
            },
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    #[test]
    fn sources_and_statuses_of_a_method_add_up() {
        let snapshot = Snapshot {
            taken_ns: 2_500_000_000,
            rpcs: RpcFigures {
                client: vec![
                    calls("order", StatusCode::Ok, 3, 5),
                    calls("cart", StatusCode::NotFound, 4, 2),
                    calls("cart", StatusCode::Unseen, 22, 1),
                ],
                server: vec![calls("order", StatusCode::Ok, 3, 5)],
                rpcs: vec![series("order", true, 1), series("cart", true, 2)],
                ..RpcFigures::default()
            },
            ..Snapshot::default()
        };
        let rpcs = Rpcs::from(&snapshot);
        let [totals] = rpcs.methods.as_slice() else {
            panic!("no client is elsewhere: {rpcs:?}");
        };
        assert_eq!(rpcs.taken_seconds, 2.5);
        assert_eq!(
            (totals.completed(), totals.failed(), totals.active),
            (8, 2, 3)
        );
        assert_eq!(totals.buckets[2..5], [0, 5, 7]);
        assert_eq!(totals.buckets.last(), Some(&8));
        assert_eq!(totals.sum_seconds, 8.0);
    }

    #[test]
    fn servers_are_listed_where_clients_are_elsewhere() {
        let snapshot = Snapshot {
            rpcs: RpcFigures {
                client: vec![calls("order", StatusCode::Ok, 3, 5)],
                server: vec![
                    calls("order", StatusCode::Ok, 3, 5),
                    calls("edge", StatusCode::Ok, 3, 4),
                ],
                rpcs: vec![series("order", true, 0), series("edge", false, 1)],
                ..RpcFigures::default()
            },
            ..Snapshot::default()
        };
        let rpcs = Rpcs::from(&snapshot);
        let seen: Vec<_> = rpcs
            .methods
            .iter()
            .map(|totals| (totals.side, totals.completed(), totals.active))
            .collect();
        assert_eq!(seen, [(RpcSide::Client, 5, 0), (RpcSide::Server, 9, 1)]);
    }

    #[test]
    fn the_two_paths_of_a_method_stand_apart() {
        let snapshot = Snapshot {
            rpcs: RpcFigures {
                client: vec![calls("order", StatusCode::Ok, 3, 5)],
                server: vec![calls("order", StatusCode::Ok, 3, 7)],
                rpcs: vec![series("order", true, 1)],
                ..RpcFigures::default()
            },
            routed: RoutedFigures {
                calls: vec![calls("order", StatusCode::Ok, 3, 2)],
                rpcs: vec![series("order", true, 4)],
                ..RoutedFigures::default()
            },
            ..Snapshot::default()
        };
        let rpcs = Rpcs::from(&snapshot);
        let seen: Vec<_> = rpcs
            .methods
            .iter()
            .map(|totals| (totals.path.as_str(), totals.completed(), totals.active))
            .collect();
        assert_eq!(seen, [("direct", 5, 1), ("routed", 2, 4)]);
    }
}
