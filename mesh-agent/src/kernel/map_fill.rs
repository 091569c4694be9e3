//! How full each map is, and how much kernel memory it takes.

use super::bpf::{Cursor, read_batch};
use super::fill::Fill;
use super::maps::LoadedMaps;
use super::{Capacities, KernelError};
use crate::observe::MapFill;
use mesh_common::affinity::{AffinitySet, SETS, WAYS};
use mesh_common::counter::Counter;
use mesh_common::names;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use zerocopy::FromZeros;

/// Affinity sets read with one system call.
const BATCH: usize = 256;

/// Every map, with what is needed to tell how full it is.
#[derive(Debug)]
pub(super) struct MapGauges {
    maps: Vec<(&'static str, OwnedFd)>,
    capacities: Capacities,
}

/// What the observer has counted itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) connections: usize,
    pub(super) host_sources: usize,
    pub(super) namespaces: usize,
}

impl MapGauges {
    /// Takes a handle on every map.
    pub(super) fn new(maps: &LoadedMaps, capacities: Capacities) -> Result<Self, KernelError> {
        let maps = maps
            .iter()
            .map(|(name, map)| Ok((name, map.fd().as_fd().try_clone_to_owned()?)))
            .collect::<io::Result<_>>()
            .map_err(KernelError::system("duplicate a map's file descriptor"))?;
        Ok(Self { maps, capacities })
    }

    /// A map's descriptor.
    pub(super) fn fd(&self, map: &'static str) -> Result<BorrowedFd<'_>, KernelError> {
        let found = self.maps.iter().find(|(name, _)| *name == map);
        found.map(|(_, fd)| fd.as_fd()).ok_or(KernelError::Missing {
            kind: "map",
            name: map,
        })
    }

    /// Reads every gauge.
    pub(super) fn read(
        &self,
        fill: &Fill,
        counters: &[(&'static str, u64)],
        counted: Counted,
        now_ns: u64,
    ) -> Vec<MapFill> {
        self.maps
            .iter()
            .map(|(name, fd)| MapFill {
                name,
                entries: self.entries(name, fd.as_fd(), fill, counted, now_ns),
                capacity: self.capacity(name),
                waiting: fill.waiting(name),
                full_total: fill.full(name) + refused(name, counters),
                memory_bytes: memory(fd.as_fd()).unwrap_or(0),
            })
            .collect()
    }

    fn entries(
        &self,
        map: &str,
        fd: BorrowedFd<'_>,
        fill: &Fill,
        counted: Counted,
        now_ns: u64,
    ) -> Option<u64> {
        match map {
            names::SOCKETS => None,
            names::AFFINITY => live_affinities(fd, now_ns).ok(),
            names::CONNECTIONS => Some(counted.connections as u64),
            names::HOST_SOURCES => Some(counted.host_sources as u64),
            names::NETNS_SOURCES => Some(counted.namespaces as u64),
            names::HOST_SOURCE_NEXT => Some(1),
            names::COUNTERS => Some(Counter::COUNT as u64),
            _ => Some(fill.entries(map)),
        }
    }

    fn capacity(&self, map: &str) -> Option<u64> {
        match map {
            // Socket storage has none, the others are fixed arrays that are always in use as a whole.
            names::SOCKETS | names::HOST_SOURCE_NEXT | names::COUNTERS => None,
            names::AFFINITY => Some(u64::from(SETS) * WAYS as u64),
            _ => self
                .capacities
                .by_map()
                .into_iter()
                .find(|(name, _)| *name == map)
                .map(|(_, entries)| entries.into()),
        }
    }
}

/// How often the kernel programs found a map full.
fn refused(map: &str, counters: &[(&'static str, u64)]) -> u64 {
    let counter = match map {
        names::AFFINITY => Counter::AffinityFull,
        names::SOCKETS => Counter::SocketStateFull,
        names::CONNECTIONS => Counter::ConnectionsFull,
        names::HOST_SOURCES => Counter::HostSourcesFull,
        _ => return 0,
    };
    counters
        .get(counter as usize)
        .map_or(0, |(_, count)| *count)
}

/// Entries that have not expired: the others are free.
fn live_affinities(map: BorrowedFd<'_>, now_ns: u64) -> io::Result<u64> {
    let mut indices = vec![0_u32; BATCH];
    let mut sets = vec![AffinitySet::new_zeroed(); BATCH];
    let mut cursor = Cursor::Start;
    let mut live = 0;
    while cursor != Cursor::End {
        let count = read_batch(map, &mut cursor, &mut indices, &mut sets)?;
        live += sets
            .iter()
            .take(count)
            .flat_map(|set| &set.entries)
            .filter(|entry| entry.tag != 0 && entry.expires_ns > now_ns)
            .count() as u64;
    }
    Ok(live)
}

/// Kernel memory of a map, from what the kernel says of its descriptor.
fn memory(map: BorrowedFd<'_>) -> Option<u64> {
    let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd())).ok()?;
    facts
        .lines()
        .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
}
