//! Removes connection and RPC counts that have no future: their Service, endpoint or workload is gone and their last
//! connection has ended.

mod idle;

use self::idle::Idle;
use super::KernelError;
use super::bpf::{self, Cursor, read_batch};
use super::installed::LabelIds;
use super::maps::LoadedMaps;
use aya::maps::{MapData, MapError};
use mesh_common::connection::{ConnectionKey, ConnectionRow};
use mesh_common::meter::record::{DESTINATION_UNKNOWN, RpcKey, RpcRow, Stream, StreamKey};
use mesh_common::names::{CONNECTIONS, RPCS, STREAMS};
use mesh_common::source::HOST_SOURCE_BASE;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;
use zerocopy::{FromBytes, IntoBytes};

/// Rows read in one sweep, so that a sweep takes well below a millisecond.
const ROWS_PER_SWEEP: usize = 1_024;

/// Rows read with one system call.
const BATCH: usize = 128;

/// Goes round the rows of `CONNECTIONS` and `RPCS` and the open RPCs, some at a time.
#[derive(Debug)]
pub(super) struct Retirement {
    connections: MapData,
    rpcs: MapData,
    streams: MapData,
    stage: Stage,
    cursor: Cursor,
    /// Retired ids met in this round.
    seen_sources: BTreeSet<u32>,
    seen_destinations: BTreeSet<u32>,
    /// Ids that were retired when this round began: only those can be freed at its end.
    candidates: Candidates,
    idle_connections: Idle<ConnectionKey>,
    idle_rpcs: Idle<RpcKey>,
}

/// What a round walks through, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connections,
    Rpcs,
    Streams,
}

#[derive(Debug, Default)]
struct Candidates {
    sources: Vec<u32>,
    destinations: Vec<u32>,
}

impl Retirement {
    /// Starts a first round.
    pub(super) fn new(maps: &LoadedMaps) -> Result<Self, KernelError> {
        Ok(Self {
            connections: maps.duplicate(CONNECTIONS)?,
            rpcs: maps.duplicate(RPCS)?,
            streams: maps.duplicate(STREAMS)?,
            stage: Stage::Connections,
            cursor: Cursor::Start,
            seen_sources: BTreeSet::new(),
            seen_destinations: BTreeSet::new(),
            candidates: Candidates::default(),
            idle_connections: Idle::default(),
            idle_rpcs: Idle::default(),
        })
    }

    /// Goes on with the round by a bounded number of rows.
    ///
    /// # Errors
    ///
    /// The kernel refused to read or remove rows; the next call goes on.
    pub(super) fn sweep(&mut self, labels: &mut LabelIds, now: Instant) -> Result<(), KernelError> {
        if self.stage == Stage::Connections && self.cursor == Cursor::Start {
            self.candidates = Candidates {
                sources: labels.sources.retired().collect(),
                destinations: labels.destinations.retired().collect(),
            };
        }
        for _ in 0..ROWS_PER_SWEEP / BATCH {
            match self.stage {
                Stage::Connections => self.walk_connections(labels, now)?,
                Stage::Rpcs => self.walk_rpcs(labels, now)?,
                Stage::Streams => self.walk_streams(labels)?,
            }
            if self.cursor == Cursor::End && self.next_stage(labels) {
                break;
            }
        }
        Ok(())
    }

    /// Tells whether that was the end of the round.
    fn next_stage(&mut self, labels: &mut LabelIds) -> bool {
        self.cursor = Cursor::Start;
        let has_candidates =
            !(self.candidates.sources.is_empty() && self.candidates.destinations.is_empty());
        self.stage = match self.stage {
            Stage::Connections => Stage::Rpcs,
            // Open RPCs only keep ids from being freed.
            Stage::Rpcs if has_candidates => Stage::Streams,
            Stage::Rpcs | Stage::Streams => {
                self.finish_round(labels);
                Stage::Connections
            }
        };
        self.stage == Stage::Connections
    }

    fn walk_connections(&mut self, labels: &LabelIds, now: Instant) -> Result<(), KernelError> {
        let rows: Vec<(ConnectionKey, ConnectionRow)> =
            read(&self.connections, CONNECTIONS, &mut self.cursor)?;
        for (key, row) in &rows {
            if !is_retired(labels, key.source, key.destination) {
                self.idle_connections.forget(key);
                continue;
            }
            let ended: u64 = row.closed.iter().sum();
            let failed: u64 = row.failed.iter().chain(&row.bypassed).sum();
            let is_open = row.opened > ended;
            if self
                .idle_connections
                .is_over(*key, is_open, row.opened + failed, now)
            {
                remove(&self.connections, CONNECTIONS, key)?;
            } else {
                self.see(key.source, key.destination);
            }
        }
        Ok(())
    }

    fn walk_rpcs(&mut self, labels: &LabelIds, now: Instant) -> Result<(), KernelError> {
        let rows: Vec<(RpcKey, RpcRow)> = read(&self.rpcs, RPCS, &mut self.cursor)?;
        for (key, row) in &rows {
            if !is_retired(labels, key.source, key.destination) {
                self.idle_rpcs.forget(key);
                continue;
            }
            let ended = row.duration.buckets.iter().sum();
            if self.idle_rpcs.is_over(*key, false, ended, now) {
                remove(&self.rpcs, RPCS, key)?;
            } else {
                self.see(key.source, key.destination);
            }
        }
        Ok(())
    }

    fn walk_streams(&mut self, labels: &LabelIds) -> Result<(), KernelError> {
        let streams: Vec<(StreamKey, Stream)> = read(&self.streams, STREAMS, &mut self.cursor)?;
        for (_, stream) in &streams {
            if is_retired(labels, stream.source, stream.destination) {
                self.see(stream.source, stream.destination);
            }
        }
        Ok(())
    }

    fn see(&mut self, source: u32, destination: u32) {
        self.seen_sources.insert(source);
        self.seen_destinations.insert(destination);
    }

    fn finish_round(&mut self, labels: &mut LabelIds) {
        let Candidates {
            sources,
            destinations,
        } = std::mem::take(&mut self.candidates);
        for id in sources {
            if !self.seen_sources.contains(&id) {
                labels.sources.free(id);
            }
        }
        for id in destinations {
            if !self.seen_destinations.contains(&id) {
                labels.destinations.free(id);
            }
        }
        self.seen_sources.clear();
        self.seen_destinations.clear();
    }
}

/// Whether counts of this pair have no future.
fn is_retired(labels: &LabelIds, source: u32, destination: u32) -> bool {
    let source_retired =
        source != 0 && source < HOST_SOURCE_BASE && labels.sources.is_retired(source);
    let destination_retired =
        destination != DESTINATION_UNKNOWN && labels.destinations.is_retired(destination);
    source_retired || destination_retired
}

/// Reads the next rows of a map.
fn read<K, V>(
    map: &MapData,
    name: &'static str,
    cursor: &mut Cursor,
) -> Result<Vec<(K, V)>, KernelError>
where
    K: Copy + FromBytes + IntoBytes,
    V: Copy + FromBytes + IntoBytes,
{
    let mut keys = vec![K::new_zeroed(); BATCH];
    let mut values = vec![V::new_zeroed(); BATCH];
    let count = read_batch(map.fd().as_fd(), cursor, &mut keys, &mut values)
        .map_err(refused("read", name))?;
    Ok(keys.into_iter().zip(values).take(count).collect())
}

fn remove<K: Copy + FromBytes + IntoBytes>(
    map: &MapData,
    name: &'static str,
    key: &K,
) -> Result<(), KernelError> {
    bpf::remove(map.fd().as_fd(), key)
        .map(drop)
        .map_err(refused("remove a key from", name))
}

fn refused(action: &'static str, map: &'static str) -> impl FnOnce(io::Error) -> KernelError {
    move |error| KernelError::map(action, map)(MapError::IoError(error))
}
