//! RPCs that the kernel will not see the end of: their connection was closed (aborted), or lost its place (lost).
//!
//! ```text
//! connection      closed ─ a second ─► its open RPCs end as UNAVAILABLE, then its entry goes
//!                 lost   ─ a second ─► RPCs that began before are lost: no call, what they moved stays counted
//!                 not known at two looks a second apart: all of its RPCs are lost
//! ```
//!
//! The kernel may end an RPC at the same moment: whoever removes its entry has it. No kernel in here.

use super::rpcs::observe;
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{MeteredConnection, RpcKey, RpcRow, Side, Stream};
use std::collections::HashMap;
use zerocopy::FromZeros;

/// How long a closed or lost connection rests, so that no program is still at work on it.
const REST_NS: u64 = 1_000_000_000;

/// Looks after which RPCs of unknown connections are looked for, as that means walking through all that are open.
const ORPHANS_EVERY: u32 = 10;

/// How an RPC ended that the kernel saw no end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its connection.
    Aborted {
        /// When, `CLOCK_MONOTONIC` ns.
        at_ns: u64,
        /// Whether the server is on this node too.
        is_adopted: bool,
    },
    /// Nobody knows.
    Lost,
}

/// Metered connections by id.
pub(super) type Connections = HashMap<u64, MeteredConnection>;

/// What was swept up so far.
#[derive(Debug)]
pub(super) struct Sweep {
    rows: HashMap<RpcKey, Box<RpcRow>>,
    rows_max: usize,
    aborted: u64,
    lost: u64,
    without_row: u64,
    /// Connections that lost their place and were swept for it, with the moment.
    settled: HashMap<u64, u64>,
    /// Unknown connections that have open RPCs, and since when they are unknown.
    missed: HashMap<u64, u64>,
    looks: u32,
}

impl Sweep {
    /// Starts with nothing; counts RPCs in at most `rows_max` rows.
    pub(super) fn new(rows_max: usize) -> Self {
        Self {
            rows: HashMap::new(),
            rows_max,
            aborted: 0,
            lost: 0,
            without_row: 0,
            settled: HashMap::new(),
            missed: HashMap::new(),
            looks: 0,
        }
    }

    /// Whether the open RPCs must be looked through now. To be asked about once a second.
    pub(super) fn begin(&mut self, connections: &Connections, now_ns: u64) -> bool {
        self.looks = self.looks.wrapping_add(1);
        self.settled.retain(|id, _| connections.contains_key(id));
        let is_due = connections.iter().any(|(id, connection)| {
            is_closed(connection, now_ns)
                || is_lost(connection, now_ns) && self.settled.get(id) != Some(&connection.lost_ns)
        });
        is_due || !self.missed.is_empty() || self.looks.is_multiple_of(ORPHANS_EVERY)
    }

    /// What becomes of one open RPC; `None`: it goes on.
    pub(super) fn judge(
        &self,
        connection: u64,
        stream: &Stream,
        connections: &Connections,
        now_ns: u64,
    ) -> Option<End> {
        let Some(known) = connections.get(&connection) else {
            let since = self.missed.get(&connection)?;
            return has_rested(*since, now_ns).then_some(End::Lost);
        };
        let is_over = is_closed(known, now_ns);
        if known.lost_ns != 0 && stream.started_ns <= known.lost_ns {
            return (is_over || is_lost(known, now_ns)).then_some(End::Lost);
        }
        is_over.then_some(End::Aborted {
            at_ns: known.closed_ns,
            is_adopted: known.is_adopted != 0,
        })
    }

    /// Counts an RPC whose entry was removed, and says whose view of it that is. `label`: the digest that its method counts
    /// under now.
    pub(super) fn count(&mut self, stream: &Stream, end: End, label: u64) -> Side {
        let seen_by = Side::from_u32(stream.side).unwrap_or(Side::Client);
        let (status, side) = match end {
            End::Aborted { is_adopted, .. } => {
                self.aborted += 1;
                let side = if is_adopted { Side::Both } else { seen_by };
                (StatusCode::Unavailable, side)
            }
            End::Lost => {
                self.lost += 1;
                (StatusCode::Unseen, seen_by)
            }
        };
        let key = RpcKey {
            method: label,
            source: stream.source,
            destination: stream.destination,
            status: status as u32,
            side: side as u32,
        };
        if self.rows.len() >= self.rows_max && !self.rows.contains_key(&key) {
            self.without_row += 1;
            return side;
        }
        let row = self
            .rows
            .entry(key)
            .or_insert_with(|| Box::new(RpcRow::new_zeroed()));
        if let End::Aborted { at_ns, .. } = end {
            observe(&mut row.duration, at_ns.saturating_sub(stream.started_ns));
        }
        if stream.first_ns != 0 {
            let waited = stream.first_ns.saturating_sub(stream.started_ns);
            observe(&mut row.first_response, waited);
        }
        row.request_bytes += stream.request_bytes;
        row.response_bytes += stream.response_bytes;
        side
    }

    /// Ends a look at the open RPCs, `unknown` being the connections among theirs that have no entry. Returns the connections
    /// whose entries can go.
    pub(super) fn finish(
        &mut self,
        connections: &Connections,
        unknown: impl IntoIterator<Item = u64>,
        now_ns: u64,
    ) -> Vec<u64> {
        self.missed = unknown
            .into_iter()
            .map(|id| (id, self.missed.get(&id).copied().unwrap_or(now_ns)))
            .collect();
        for (id, connection) in connections {
            if is_lost(connection, now_ns) {
                self.settled.insert(*id, connection.lost_ns);
            }
        }
        connections
            .iter()
            .filter(|(_, connection)| is_closed(connection, now_ns))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Forgets counts of destinations that are gone.
    pub(super) fn retain(&mut self, is_gone: impl Fn(u32) -> bool) {
        self.rows.retain(|key, _| !is_gone(key.destination));
    }

    /// The rows, as the kernel has them of ended RPCs.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&RpcKey, &RpcRow)> {
        self.rows.iter().map(|(key, row)| (key, &**row))
    }

    /// RPCs that ended with their connection.
    pub(super) const fn aborted(&self) -> u64 {
        self.aborted
    }

    /// RPCs that nobody knows the end of.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// RPCs for which there was no row.
    pub(super) const fn without_row(&self) -> u64 {
        self.without_row
    }
}

fn is_closed(connection: &MeteredConnection, now_ns: u64) -> bool {
    connection.closed_ns != 0 && has_rested(connection.closed_ns, now_ns)
}

fn is_lost(connection: &MeteredConnection, now_ns: u64) -> bool {
    connection.lost_ns != 0 && has_rested(connection.lost_ns, now_ns)
}

const fn has_rested(since_ns: u64, now_ns: u64) -> bool {
    now_ns.saturating_sub(since_ns) >= REST_NS
}

#[cfg(test)]
mod tests;
