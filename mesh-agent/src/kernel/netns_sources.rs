//! Which network namespace belongs to which workload: `NETNS_SOURCES`.
//!
//! A namespace that has an address of a workload is that workload's. This names the source of a connection
//! before its socket has a local address.

use super::KernelError;
use super::fill::Fill;
use super::installed::names_a_workload;
use super::namespaces::{self, NamespaceId, cookie, local_addresses};
use aya::maps::{HashMap, MapData};
use mesh_common::address::Address;
use mesh_common::names;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Namespaces entered in one pass; the next pass goes on with others.
const PER_PASS: usize = 64;

/// Keeps `NETNS_SOURCES`, for the observer, which goes round, and for the listeners, which come to a namespace first.
#[derive(Clone, Debug)]
pub(super) struct SharedSources(Arc<Mutex<NetnsSources>>);

impl SharedSources {
    /// Shares what keeps the map.
    pub(super) fn new(sources: NetnsSources) -> Self {
        Self(Arc::new(Mutex::new(sources)))
    }

    /// As [`NetnsSources::len`].
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// As [`NetnsSources::pass`].
    ///
    /// # Errors
    ///
    /// As that.
    pub(super) fn pass(&self) -> Result<(), KernelError> {
        self.lock().pass()
    }

    /// As [`NetnsSources::name`].
    ///
    /// # Errors
    ///
    /// As that.
    pub(super) fn name(
        &self,
        id: NamespaceId,
        cookie: u64,
        addresses: &[IpAddr],
    ) -> Result<(), KernelError> {
        self.lock().name(id, cookie, addresses)
    }

    /// The `CallerEntry` of a namespace; `None`: nobody's address is in it, or nobody has looked yet.
    pub(super) fn entry(&self, id: NamespaceId) -> Option<u64> {
        self.lock().known.get(&id).map(|(_, entry)| *entry)
    }

    fn lock(&self) -> MutexGuard<'_, NetnsSources> {
        // What is known is noted after the map has it: a panic in between costs a write.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps `NETNS_SOURCES`.
#[derive(Debug)]
pub(super) struct NetnsSources {
    sources: HashMap<MapData, u64, u64>,
    workloads: HashMap<MapData, Address, u64>,
    fill: Arc<Fill>,
    /// What is in the map, by namespace: its cookie and its `CallerEntry`.
    known: BTreeMap<NamespaceId, (u64, u64)>,
    last_visited: NamespaceId,
}

impl NetnsSources {
    /// Starts with an empty map.
    pub(super) fn new(
        sources: HashMap<MapData, u64, u64>,
        workloads: HashMap<MapData, Address, u64>,
        fill: Arc<Fill>,
    ) -> Self {
        Self {
            sources,
            workloads,
            fill,
            known: BTreeMap::new(),
            last_visited: 0,
        }
    }

    /// Number of namespaces in the map.
    fn len(&self) -> usize {
        self.known.len()
    }

    /// Looks into some namespaces, and forgets those that have vanished.
    ///
    /// # Errors
    ///
    /// No thread could be started, or the map refused a write.
    fn pass(&mut self) -> Result<(), KernelError> {
        let mut present = namespaces::discover();
        // Processes of the host are told apart by cgroup and command.
        if let Some((host, _)) = namespaces::host() {
            present.remove(&host);
        }
        let vanished: Vec<_> = self
            .known
            .keys()
            .filter(|id| !present.contains_key(id))
            .copied()
            .collect();
        for id in vanished {
            self.set(id, None)?;
        }
        let chosen = self.choose(&present);
        let visited = namespaces::visit(&chosen, |_| {
            let cookie = cookie().ok()?;
            Some((cookie, local_addresses().ok()?))
        })?;
        for (id, (cookie, addresses)) in visited {
            let source = self.source_of(&addresses);
            self.set(id, source.map(|source| (cookie, source)))?;
        }
        Ok(())
    }

    /// Says whose a namespace is that has these addresses, before its turn comes.
    ///
    /// # Errors
    ///
    /// The map refused a write.
    fn name(
        &mut self,
        id: NamespaceId,
        cookie: u64,
        addresses: &[IpAddr],
    ) -> Result<(), KernelError> {
        if namespaces::host().is_some_and(|(host, _)| host == id) {
            return Ok(());
        }
        let source = self.source_of(addresses);
        self.set(id, source.map(|source| (cookie, source)))
    }

    /// The next namespaces in turn.
    fn choose(
        &mut self,
        present: &BTreeMap<NamespaceId, PathBuf>,
    ) -> BTreeMap<NamespaceId, PathBuf> {
        let behind = present.range((Bound::Excluded(self.last_visited), Bound::Unbounded));
        let chosen: Vec<_> = behind
            .chain(present)
            .take(PER_PASS.min(present.len()))
            .collect();
        self.last_visited = chosen.last().map_or(0, |(id, _)| **id);
        chosen
            .into_iter()
            .map(|(id, path)| (*id, path.clone()))
            .collect()
    }

    fn source_of(&self, addresses: &[IpAddr]) -> Option<u64> {
        addresses
            .iter()
            .filter(|address| names_a_workload(**address))
            .find_map(|address| self.workloads.get(&Address::from(*address), 0).ok())
    }

    fn set(&mut self, id: NamespaceId, wanted: Option<(u64, u64)>) -> Result<(), KernelError> {
        let current = self.known.get(&id).copied();
        if current == wanted {
            return Ok(());
        }
        // The number of a namespace is used again at once, its cookie never.
        if let Some((cookie, _)) = current
            && wanted.is_none_or(|(wanted, _)| wanted != cookie)
        {
            self.known.remove(&id);
            super::maps::remove(&mut self.sources, names::NETNS_SOURCES, &cookie)?;
        }
        if let Some((cookie, source)) = wanted {
            self.sources.insert(cookie, source, 0).map_err(|error| {
                self.fill.count_full(names::NETNS_SOURCES);
                KernelError::map("set a key of", names::NETNS_SOURCES)(error)
            })?;
            self.known.insert(id, (cookie, source));
        }
        Ok(())
    }
}
