//! Removes connection counts that have no future: their Service, endpoint or workload is gone and their last
//! connection has ended.

use super::KernelError;
use super::bpf::{Cursor, read_batch};
use super::installed::LabelIds;
use super::maps::{self, data};
use aya::maps::{HashMap, Map, MapError};
use mesh_common::connection::{ConnectionKey, ConnectionRow};
use mesh_common::names::CONNECTIONS;
use mesh_common::source::HOST_SOURCE_BASE;
use std::collections::{BTreeSet, HashMap as StdHashMap};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use zerocopy::FromZeros;

/// How long a row must be without an open connection before it goes, so that its last
/// counts can still be read.
const IDLE: Duration = Duration::from_secs(2);

/// Rows read in one sweep, so that a sweep takes well below a millisecond.
const ROWS_PER_SWEEP: usize = 1_024;

/// Rows read with one system call.
const BATCH: usize = 128;

/// Goes round the rows of `CONNECTIONS`, some at a time.
#[derive(Debug)]
pub(super) struct Retirement {
    rows: Map,
    cursor: Cursor,
    /// Retired ids met in this round.
    seen_sources: BTreeSet<u32>,
    seen_destinations: BTreeSet<u32>,
    /// Ids that were retired when this round began: only those can be freed at its end.
    candidates: Candidates,
    /// Rows without an open connection: since when, and the number of connections they had had by then.
    idle: StdHashMap<ConnectionKey, (Instant, u64)>,
}

#[derive(Debug, Default)]
struct Candidates {
    sources: Vec<u32>,
    destinations: Vec<u32>,
}

impl Retirement {
    /// Starts a first round.
    pub(super) fn new(rows: Map) -> Self {
        Self {
            rows,
            cursor: Cursor::Start,
            seen_sources: BTreeSet::new(),
            seen_destinations: BTreeSet::new(),
            candidates: Candidates::default(),
            idle: StdHashMap::new(),
        }
    }

    /// Goes on with the round by a bounded number of rows.
    ///
    /// # Errors
    ///
    /// The kernel refused to read or remove rows; the next call goes on.
    pub(super) fn sweep(&mut self, labels: &mut LabelIds, now: Instant) -> Result<(), KernelError> {
        if self.cursor == Cursor::Start {
            self.candidates = Candidates {
                sources: labels.sources.retired().collect(),
                destinations: labels.destinations.retired().collect(),
            };
        }
        let mut keys = vec![
            ConnectionKey {
                source: 0,
                destination: 0
            };
            BATCH
        ];
        let mut rows = vec![ConnectionRow::new_zeroed(); BATCH];
        for _ in 0..ROWS_PER_SWEEP / BATCH {
            let map = data(&self.rows).ok_or(KernelError::Missing {
                kind: "map",
                name: CONNECTIONS,
            })?;
            let count = read_batch(map.fd().as_fd(), &mut self.cursor, &mut keys, &mut rows)
                .map_err(|error| KernelError::map("read", CONNECTIONS)(MapError::IoError(error)))?;
            for (key, row) in keys.iter().zip(&rows).take(count) {
                self.judge(*key, row, labels, now)?;
            }
            if self.cursor == Cursor::End {
                self.finish_round(labels);
                break;
            }
        }
        Ok(())
    }

    fn judge(
        &mut self,
        key: ConnectionKey,
        row: &ConnectionRow,
        labels: &LabelIds,
        now: Instant,
    ) -> Result<(), KernelError> {
        let source_retired = key.source != 0
            && key.source < HOST_SOURCE_BASE
            && labels.sources.is_retired(key.source);
        let destination_retired = labels.destinations.is_retired(key.destination);
        if !(source_retired || destination_retired) {
            self.idle.remove(&key);
            return Ok(());
        }
        if self.is_over(key, row, now) {
            return self.remove(key);
        }
        self.seen_sources.insert(key.source);
        self.seen_destinations.insert(key.destination);
        Ok(())
    }

    fn remove(&mut self, key: ConnectionKey) -> Result<(), KernelError> {
        let mut rows = HashMap::<_, ConnectionKey, ConnectionRow>::try_from(&mut self.rows)
            .map_err(KernelError::map("open", CONNECTIONS))?;
        maps::remove(&mut rows, CONNECTIONS, &key)
    }

    /// Whether the row has had no open connection, and no new one, for [`IDLE`].
    fn is_over(&mut self, key: ConnectionKey, row: &ConnectionRow, now: Instant) -> bool {
        let ended: u64 = row.closed.iter().sum();
        let failed: u64 = row.failed.iter().sum();
        if row.opened > ended {
            self.idle.remove(&key);
            return false;
        }
        let attempts = row.opened + failed;
        let (since, before) = *self.idle.entry(key).or_insert((now, attempts));
        if before != attempts {
            self.idle.insert(key, (now, attempts));
            return false;
        }
        let is_over = now.saturating_duration_since(since) >= IDLE;
        if is_over {
            self.idle.remove(&key);
        }
        is_over
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
        self.cursor = Cursor::Start;
    }
}
