//! The names behind the numbers of an observation: who called whom, and what.

use super::ends::Ends;
use super::texts::method_name;
use crate::observe::{DestinationLabels, ObservedMethod, SourceLabels};
use aya::maps::{HashMap as BpfHash, MapData};
use mesh_common::meter::record::{METHOD_OTHER, Method, MethodKey, Observation};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names of methods that are remembered; about as many as the kernel keeps.
const REMEMBERED_MAX: usize = 4_096;

/// How often processes of the host are looked up when one has no name yet.
const HOSTS_EVERY: Duration = Duration::from_secs(1);

/// Looks names up. What a method is called never changes and is remembered.
pub(super) struct RpcNames {
    ends: Ends,
    host_sources: MapData,
    hosts_read: Option<Instant>,
    methods: BpfHash<MapData, MethodKey, Method>,
    candidates: BpfHash<MapData, MethodKey, Method>,
    remembered: HashMap<(u64, u32), Arc<str>>,
}

/// What [`RpcNames`] reads from.
pub(super) struct NameMaps {
    /// `HOST_SOURCES`.
    pub(super) host_sources: MapData,
    /// `METHODS`.
    pub(super) methods: BpfHash<MapData, MethodKey, Method>,
    /// `CANDIDATES`.
    pub(super) candidates: BpfHash<MapData, MethodKey, Method>,
}

impl RpcNames {
    /// Starts with the labels that others give out.
    pub(super) fn new(ends: Ends, maps: NameMaps) -> Self {
        Self {
            ends,
            host_sources: maps.host_sources,
            hosts_read: None,
            methods: maps.methods,
            candidates: maps.candidates,
            remembered: HashMap::new(),
        }
    }

    /// Who.
    pub(super) fn source(&mut self, id: u32, now: Instant) -> SourceLabels {
        if self.ends.is_new_host(id) && self.is_due(now) {
            self.hosts_read = Some(now);
            let refreshed = self.ends.refresh_hosts(self.host_sources.fd().as_fd());
            if let Err(error) = refreshed {
                tracing::debug!(%error, "a process of the host has no name");
            }
        }
        self.ends.source(id)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.hosts_read
            .is_none_or(|last| now.saturating_duration_since(last) >= HOSTS_EVERY)
    }

    /// Whom.
    pub(super) fn destination(&self, id: u32) -> DestinationLabels {
        self.ends.destination(id)
    }

    /// What.
    pub(super) fn method(&mut self, observation: &Observation) -> ObservedMethod {
        ObservedMethod {
            name: self.path_name(observation.stream.path, observation.stream.service),
            is_label: observation.method != METHOD_OTHER,
        }
    }

    fn path_name(&mut self, path: u64, service: u32) -> Option<Arc<str>> {
        if let Some(name) = self.remembered.get(&(path, service)) {
            return Some(Arc::clone(name));
        }
        let key = MethodKey {
            path,
            service,
            reserved: 0,
        };
        let method = self
            .methods
            .get(&key, 0)
            .or_else(|_| self.candidates.get(&key, 0));
        let name: Arc<str> = method_name(&method.ok()?)?.into();
        if self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
        }
        self.remembered.insert((path, service), Arc::clone(&name));
        Some(name)
    }
}
