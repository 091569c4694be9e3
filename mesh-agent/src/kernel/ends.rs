//! Names of both ends of a connection.

use super::KernelError;
use super::hosts::HostNames;
use super::installed::{Destination, LabelIds};
use super::labels::Names;
use crate::observe::{DestinationLabels, Path, SourceLabels};
use mesh_common::meter::record::DESTINATION_UNKNOWN;
use mesh_common::source::{HOST_SOURCE_BASE, SOURCE_HOST_OTHER};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The labels behind source and destination ids.
#[derive(Debug)]
pub(super) struct Ends {
    sources: Names<SourceLabels>,
    destinations: Names<Destination>,
    hosts: HostNames,
}

impl Ends {
    /// Shares the labels that the syncer gives out; those of the host's processes are looked up.
    pub(super) fn new(labels: &LabelIds, hosts: HostNames) -> Self {
        Self {
            sources: labels.sources.names(),
            destinations: labels.destinations.names(),
            hosts,
        }
    }

    /// Names processes that are new in `HOST_SOURCES`; returns how many are there.
    ///
    /// # Errors
    ///
    /// The map cannot be read.
    pub(super) fn refresh_hosts(&mut self, map: BorrowedFd<'_>) -> Result<usize, KernelError> {
        self.hosts.refresh(map)
    }

    /// Whether this is a process of the host that has no name yet.
    pub(super) fn is_new_host(&self, id: u32) -> bool {
        id > HOST_SOURCE_BASE && id != SOURCE_HOST_OTHER && self.hosts.get(id).is_none()
    }

    /// Who.
    pub(super) fn source(&self, id: u32) -> SourceLabels {
        let known = match id {
            SOURCE_HOST_OTHER => Some(source_labels("_OTHER")),
            id if id > HOST_SOURCE_BASE => self.hosts.get(id).cloned(),
            id => self.sources.get(id),
        };
        known.unwrap_or_else(|| source_labels("unknown"))
    }

    /// Whom.
    pub(super) fn destination(&self, id: u32) -> DestinationLabels {
        self.way(id).0
    }

    /// Whom, and which way.
    pub(super) fn way(&self, id: u32) -> (DestinationLabels, Path) {
        let Some(Destination { labels, path }) = self.destinations.get(id) else {
            let unknown = DestinationLabels {
                service: Arc::from("unknown"),
                namespace: Arc::from(""),
                workload: Arc::from(""),
            };
            return (unknown, Path::Direct);
        };
        (labels, path)
    }

    /// Whether the labels of a destination are gone for good.
    pub(super) fn is_gone(&self, destination: u32) -> bool {
        destination != DESTINATION_UNKNOWN && self.destinations.get(destination).is_none()
    }
}

fn source_labels(workload: &str) -> SourceLabels {
    SourceLabels {
        workload: Arc::from(workload),
        namespace: Arc::from(""),
    }
}
