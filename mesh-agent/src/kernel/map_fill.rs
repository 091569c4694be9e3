//! How full each map is, and how much kernel memory it takes.

use super::bpf::{Cursor, read_batch};
use super::entries::visit;
use super::fill::Fill;
use super::maps::LoadedMaps;
use super::metered::MeteredCounts;
use super::{Capacities, KernelError};
use crate::observe::MapFill;
use mesh_common::affinity::{AffinitySet, SETS, WAYS};
use mesh_common::capture::{Origin, OriginKey};
use mesh_common::counter::Counter;
use mesh_common::meter::Mode;
use mesh_common::meter::count::{RpcEvent, Skip};
use mesh_common::meter::held::{HeldKey, HeldPage};
use mesh_common::meter::record::{Link, Meter, Method, MethodKey, PairKey};
use mesh_common::names;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Affinity sets read with one system call.
const BATCH: usize = 256;

/// Maps that are there once per CPU.
const PER_CPU: [&str; 4] = [
    names::COUNTERS,
    names::METER_RPCS,
    names::METER_SKIPPED,
    names::METER_MODES,
];

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
    pub(super) metered: MeteredCounts,
}

/// What the kernel counts, by map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters<'a> {
    pub(super) decisions: &'a [(&'static str, u64)],
    pub(super) rpcs: &'a [(&'static str, u64)],
    pub(super) skipped: &'a [(&'static str, u64)],
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
        counters: Counters<'_>,
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
                is_per_cpu: PER_CPU.contains(name),
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
            names::SOCKETS
            | names::METER_OUT
            | names::METER_IN
            | names::OBSERVED
            | names::ARRIVALS => None,
            names::AFFINITY => live_affinities(fd, now_ns).ok(),
            names::PAIRS => count::<PairKey, Link>(fd).ok(),
            names::ORIGINS => count::<OriginKey, Origin>(fd).ok(),
            names::EARLY => count::<PairKey, Meter>(fd).ok(),
            names::HELD => count::<HeldKey, HeldPage>(fd).ok(),
            names::CANDIDATES => count::<MethodKey, Method>(fd).ok(),
            names::METER_CONNECTIONS => Some(counted.metered.connections as u64),
            names::STREAMS => Some(counted.metered.streams as u64),
            names::RPCS => Some(counted.metered.rpcs as u64),
            names::METHODS => Some(counted.metered.methods as u64),
            names::CONNECTIONS => Some(counted.connections as u64),
            names::HOST_SOURCES => Some(counted.host_sources as u64),
            names::NETNS_SOURCES => Some(counted.namespaces as u64),
            names::HOST_SOURCE_NEXT | names::SAMPLING | names::HEARTBEAT => Some(1),
            names::METER_RPCS => Some(RpcEvent::COUNT as u64),
            names::METER_SKIPPED => Some(Skip::COUNT as u64),
            names::METER_MODES => Some(2 * Mode::COUNT as u64),
            names::SERVICE_METHODS => Some(u64::from(self.capacities.services) + 1),
            names::COUNTERS => Some(Counter::COUNT as u64),
            _ => Some(fill.entries(map)),
        }
    }

    fn capacity(&self, map: &str) -> Option<u64> {
        match map {
            // Socket storage has none; of the candidates the oldest is forgotten; rings are counted in bytes; the others are
            // fixed arrays that are always in use as a whole.
            names::SOCKETS
            | names::METER_OUT
            | names::METER_IN
            | names::CANDIDATES
            | names::OBSERVED
            | names::ARRIVALS
            | names::HOST_SOURCE_NEXT
            | names::COUNTERS
            | names::SAMPLING
            | names::HEARTBEAT
            | names::METER_RPCS
            | names::METER_SKIPPED
            | names::METER_MODES
            | names::SERVICE_METHODS => None,
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
fn refused(map: &str, counters: Counters<'_>) -> u64 {
    let decided = |counter: Counter| (counters.decisions, counter as usize);
    let skipped = |skip: Skip| (counters.skipped, skip as usize);
    let (counts, index) = match map {
        names::AFFINITY => decided(Counter::AffinityFull),
        names::SOCKETS => decided(Counter::SocketStateFull),
        names::CONNECTIONS => decided(Counter::ConnectionsFull),
        names::HOST_SOURCES => decided(Counter::HostSourcesFull),
        names::ORIGINS => decided(Counter::OriginsFull),
        names::ARRIVALS => decided(Counter::ArrivalsFull),
        names::METER_OUT => skipped(Skip::MeterFull),
        names::METER_CONNECTIONS => skipped(Skip::ConnectionsFull),
        names::HELD => skipped(Skip::HeldFull),
        names::RPCS => skipped(Skip::RpcsFull),
        names::OBSERVED => skipped(Skip::ObservedFull),
        names::STREAMS => (counters.rpcs, RpcEvent::TableFull as usize),
        _ => return 0,
    };
    counts.get(index).map_or(0, |(_, count)| *count)
}

/// Counts the entries of a hash; cheap for maps that are nearly empty.
fn count<K, V>(map: BorrowedFd<'_>) -> io::Result<u64>
where
    K: Clone + FromBytes + IntoBytes,
    V: Clone + FromBytes + IntoBytes,
{
    visit(map, |_: &K, _: &V| {}).map(|entries| entries as u64)
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
