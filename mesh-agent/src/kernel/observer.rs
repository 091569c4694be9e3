//! Reads what was measured.

use super::aborted::Aborted;
use super::ends::Ends;
use super::fill::Fill;
use super::hosts::HostNames;
use super::installed::LabelIds;
use super::map_fill::{Counted, Counters, MapGauges};
use super::maps::LoadedMaps;
use super::metered::Metered;
use super::netns_sources::SharedSources;
use super::rows::{Ledger, OpenTotals, Rows, measure, read_rows};
use super::sock_diag::OpenSocket;
use super::sockets::{open_totals, visit_open};
use super::{KernelError, Settings, mounts};
use crate::observe::{
    ConnectionSeries, DestinationLabels, OpenConnection, Path, RpcFigures, Snapshot, SourceLabels,
};
use aya::maps::{MapData, PerCpuArray};
use mesh_common::connection::ConnectionRow;
use mesh_common::counter::Counter;
use mesh_common::names;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Forwards the messages that the kernel programs have written since.
pub(super) type KernelLog = Box<dyn FnMut() + Send>;

/// How often a failure that lasts is told again.
const REMIND: Duration = Duration::from_secs(60);

/// Reads measurements. Lives on a thread of its own: a snapshot may take milliseconds.
pub struct Observer {
    gauges: MapGauges,
    counters: PerCpuArray<MapData, u64>,
    fill: Arc<Fill>,
    ends: Ends,
    metered: Metered,
    namespaces: SharedSources,
    ledger: Ledger,
    log: Option<KernelLog>,
    last_warning: Option<Instant>,
}

/// What it shares with others who see something.
pub(super) struct Seen {
    pub(super) aborted: Aborted,
    pub(super) namespaces: SharedSources,
    pub(super) fill: Arc<Fill>,
}

impl Observer {
    pub(super) fn new(
        settings: &Settings,
        maps: &LoadedMaps,
        labels: &LabelIds,
        seen: Seen,
        log: Option<KernelLog>,
    ) -> Result<Self, KernelError> {
        let Seen {
            aborted,
            namespaces,
            fill,
        } = seen;
        Ok(Self {
            gauges: MapGauges::new(maps, settings.capacities)?,
            counters: maps.per_cpu(names::COUNTERS)?,
            namespaces,
            fill,
            ends: Ends::new(
                labels,
                HostNames::new(mounts::open_cgroup(&settings.cgroup)?),
            ),
            metered: Metered::new(maps, settings.capacities, aborted)?,
            ledger: Ledger::default(),
            log,
            last_warning: None,
        })
    }

    /// Everything measured up to now; open connections are looked at now. What cannot be read is left out and
    /// told in the log.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        let host_sources = self.name_hosts(now);
        let rows = self.read_connections(now);
        let counters = self.read_counters();
        let rpcs = self.read_rpcs(now);
        let counted = Counted {
            connections: rows.len(),
            host_sources,
            namespaces: self.namespaces.len(),
            metered: self.metered.counted(),
        };
        let counts = Counters {
            decisions: &counters,
            rpcs: &rpcs.events,
            skipped: &rpcs.skipped,
        };
        let taken_ns = monotonic_ns();
        Snapshot {
            taken_ns,
            maps: self.gauges.read(&self.fill, counts, counted, taken_ns),
            connections: self.series(&rows),
            counters,
            rpcs,
            ..Snapshot::default()
        }
    }

    /// Connections of the mesh that are open now, the oldest first.
    pub fn connections(&mut self, now: Instant) -> Vec<OpenConnection> {
        self.name_hosts(now);
        let now_ns = monotonic_ns();
        let mut sockets = Vec::new();
        let visited = self
            .gauges
            .fd(names::SOCKETS)
            .and_then(|storage| visit_open(storage, |socket| sockets.push(*socket)));
        if let Err(error) = visited {
            self.warn(now, &error, "not all open connections are listed");
        }
        sockets.sort_by_key(|socket| (socket.remembered.started_ns, socket.local));
        sockets
            .iter()
            .map(|socket| self.describe(socket, now_ns))
            .collect()
    }

    /// Does what is to be done about once a second: looks for network namespaces of workloads, forwards
    /// messages of the kernel programs to the log, and ends RPCs whose connection has gone.
    pub fn maintain(&mut self, now: Instant) {
        if let Some(log) = &mut self.log {
            log();
        }
        if let Err(error) = self.namespaces.pass() {
            self.warn(
                now,
                &error,
                "network namespaces are not all known: some sources may be `unknown`",
            );
        }
        if let Err(error) = self.metered.sweep(monotonic_ns()) {
            self.warn(
                now,
                &error,
                "RPCs of connections that were closed stay active",
            );
        }
    }

    fn name_hosts(&mut self, now: Instant) -> usize {
        let refreshed = self
            .gauges
            .fd(names::HOST_SOURCES)
            .and_then(|map| self.ends.refresh_hosts(map));
        refreshed.unwrap_or_else(|error| {
            self.warn(now, &error, "processes of the host have no names");
            0
        })
    }

    fn read_connections(&mut self, now: Instant) -> Rows {
        let mut unread = None;
        let measured = self.gauges.fd(names::CONNECTIONS).and_then(|map| {
            let storage = self.gauges.fd(names::SOCKETS)?;
            measure(
                || read_rows(map).map_err(KernelError::system("read connection counts")),
                || {
                    open_totals(storage).unwrap_or_else(|error| {
                        unread = Some(error);
                        OpenTotals::new()
                    })
                },
            )
        });
        if let Some(error) = unread {
            self.warn(
                now,
                &error,
                "bytes of open connections are counted when they end",
            );
        }
        let mut rows = measured.unwrap_or_else(|error| {
            self.warn(now, &error, "connections are not counted");
            Rows::new()
        });
        self.ledger.clamp(&mut rows);
        rows
    }

    fn read_rpcs(&mut self, now: Instant) -> RpcFigures {
        self.metered.read(&self.ends).unwrap_or_else(|error| {
            self.warn(now, &error, "RPCs are not counted");
            RpcFigures::default()
        })
    }

    fn read_counters(&self) -> Vec<(&'static str, u64)> {
        Counter::ALL
            .iter()
            .map(|(counter, name)| {
                let values = self.counters.get(&(*counter as u32), 0);
                (*name, values.map_or(0, |values| values.iter().sum()))
            })
            .collect()
    }

    /// Adds up rows that have the same labels, as several processes of one systemd unit do.
    fn series(&self, rows: &Rows) -> Vec<ConnectionSeries> {
        let mut series: BTreeMap<_, ConnectionSeries> = BTreeMap::new();
        for (key, row) in rows {
            let source = self.ends.source(key.source);
            let way = self.ends.way(key.destination);
            match series.entry((source, way)) {
                Entry::Vacant(entry) => {
                    let (source, way) = entry.key().clone();
                    entry.insert(one_series(source, way, row));
                }
                Entry::Occupied(mut entry) => add_row(entry.get_mut(), row),
            }
        }
        series.into_values().collect()
    }

    fn describe(&self, socket: &OpenSocket, now_ns: u64) -> OpenConnection {
        let state = &socket.remembered;
        let source = self.ends.source(state.source);
        let (destination, path) = self.ends.way(state.destination);
        let age = Duration::from_nanos(now_ns.saturating_sub(state.started_ns));
        OpenConnection {
            source: qualified(&source.namespace, &source.workload),
            local: socket.local.into(),
            requested: state.requested.into(),
            path,
            // What a routed one has reached is the listener, which says nothing.
            endpoint: (path == Path::Direct).then(|| socket.remote.into()),
            service: qualified(&destination.namespace, &destination.service),
            workload: qualified(&destination.namespace, &destination.workload),
            state: socket.state,
            age_seconds: age.as_secs_f64(),
            rtt_seconds: Duration::from_micros(socket.rtt_us.into()).as_secs_f64(),
            sent_bytes: socket.sent_bytes,
            received_bytes: socket.received_bytes,
            retransmits: socket.retransmits,
        }
    }

    /// Tells of a failure, but not every second.
    fn warn(&mut self, now: Instant, error: &KernelError, effect: &str) {
        let is_due = self
            .last_warning
            .is_none_or(|last| now.saturating_duration_since(last) >= REMIND);
        if is_due {
            self.last_warning = Some(now);
            tracing::warn!(%error, effect, "cannot read all measurements");
        }
    }
}

/// `namespace/name`, or what there is of it.
fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() || name.is_empty() {
        return name.to_owned();
    }
    format!("{namespace}/{name}")
}

fn one_series(
    source: SourceLabels,
    (destination, path): (DestinationLabels, Path),
    row: &ConnectionRow,
) -> ConnectionSeries {
    ConnectionSeries {
        source,
        destination,
        path,
        opened: row.opened,
        closed: row.closed,
        failed: row.failed,
        connect: row.connect,
        rtt: row.rtt,
        sent_bytes: row.sent_bytes,
        received_bytes: row.received_bytes,
        retransmits: row.retransmits,
        bypassed: row.bypassed,
    }
}

fn add_row(series: &mut ConnectionSeries, row: &ConnectionRow) {
    series.opened += row.opened;
    add_each(&mut series.closed, &row.closed);
    add_each(&mut series.failed, &row.failed);
    for (sum, part) in [
        (&mut series.connect, &row.connect),
        (&mut series.rtt, &row.rtt),
    ] {
        add_each(&mut sum.buckets, &part.buckets);
        sum.sum_ns += part.sum_ns;
    }
    series.sent_bytes += row.sent_bytes;
    series.received_bytes += row.received_bytes;
    series.retransmits += row.retransmits;
    add_each(&mut series.bypassed, &row.bypassed);
}

fn add_each(sums: &mut [u64], parts: &[u64]) {
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum += part;
    }
}

/// The clock of `bpf_ktime_get_ns`.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
