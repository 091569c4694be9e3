//! Reads what the meter has counted, and sweeps up after it.

use super::aborted::Aborted;
use super::bpf;
use super::ends::Ends;
use super::entries::visit;
use super::maps::LoadedMaps;
use super::methods::Methods;
use super::rpcs::{Ledger, OpenRpcs, Sums};
use super::sweep::{Connections, End, Sweep};
use super::{Capacities, KernelError};
use crate::observe::{Directions, RpcFigures};
use aya::maps::{MapData, PerCpuArray};
use mesh_common::meter::Mode;
use mesh_common::meter::count::{RpcEvent, Skip, mode_index};
use mesh_common::meter::record::{MeteredConnection, RpcKey, RpcRow, Stream, StreamKey};
use mesh_common::names;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The meter's maps, read, and swept.
pub(super) struct Metered {
    connections: MapData,
    streams: MapData,
    rpcs: MapData,
    methods: MapData,
    events: PerCpuArray<MapData, u64>,
    skipped: PerCpuArray<MapData, u64>,
    modes: PerCpuArray<MapData, u64>,
    known_methods: Methods,
    sweep: Sweep,
    told: Aborted,
    ledger: Ledger,
    /// Entries that were there when they were last looked through.
    counted: MeteredCounts,
}

/// Entries of maps that are counted while they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MeteredCounts {
    pub(super) connections: usize,
    pub(super) streams: usize,
    pub(super) rpcs: usize,
    pub(super) methods: usize,
}

impl Metered {
    /// Opens the maps; `told` is told of RPCs that ended with their connection.
    pub(super) fn new(
        maps: &LoadedMaps,
        capacities: Capacities,
        told: Aborted,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            connections: maps.duplicate(names::METER_CONNECTIONS)?,
            streams: maps.duplicate(names::STREAMS)?,
            rpcs: maps.duplicate(names::RPCS)?,
            methods: maps.duplicate(names::METHODS)?,
            events: maps.per_cpu(names::METER_RPCS)?,
            skipped: maps.per_cpu(names::METER_SKIPPED)?,
            modes: maps.per_cpu(names::METER_MODES)?,
            known_methods: Methods::default(),
            sweep: Sweep::new(capacities.rpcs as usize),
            told,
            ledger: Ledger::default(),
            counted: MeteredCounts::default(),
        })
    }

    /// Everything known of RPCs now.
    ///
    /// # Errors
    ///
    /// A map cannot be read.
    pub(super) fn read(&mut self, ends: &Ends) -> Result<RpcFigures, KernelError> {
        self.sweep.retain(|destination| ends.is_gone(destination));
        let mut rows = Vec::new();
        visit(fd(&self.rpcs), |key: &RpcKey, row: &RpcRow| {
            rows.push((*key, *row));
        })
        .map_err(unread(names::RPCS))?;
        let mut open = OpenRpcs::default();
        self.counted.streams = visit(fd(&self.streams), |_: &StreamKey, stream: &Stream| {
            open.add(stream);
        })
        .map_err(unread(names::STREAMS))?;
        // A label is in the map of methods before anything is counted under it.
        self.read_methods()?;
        self.counted.rpcs = rows.len();
        let counted = rows.iter().map(|(key, _)| key.method);
        let swept = self.sweep.rows().map(|(key, _)| key.method);
        self.known_methods.retain(counted.chain(swept));

        let mut sums = Sums::new(ends, &self.known_methods);
        for (key, row) in &rows {
            sums.add_row(key, row);
        }
        for (key, row) in self.sweep.rows() {
            sums.add_row(key, row);
        }
        sums.add_open(&open);
        let series = sums.finish(&mut self.ledger);
        Ok(RpcFigures {
            active: self.counted.streams as u64,
            events: self.read_events(),
            skipped: self.read_skipped(),
            directions: self.read_directions(),
            ..series
        })
    }

    /// Entries of the maps that were read last.
    pub(super) const fn counted(&self) -> MeteredCounts {
        self.counted
    }

    /// Ends RPCs of connections that are closed or lost. To be called about once a second.
    ///
    /// # Errors
    ///
    /// A map cannot be read or written; the next call goes on.
    pub(super) fn sweep(&mut self, now_ns: u64) -> Result<(), KernelError> {
        let mut connections = Connections::new();
        visit(
            fd(&self.connections),
            |id: &u64, connection: &MeteredConnection| {
                connections.insert(*id, *connection);
            },
        )
        .map_err(unread(names::METER_CONNECTIONS))?;
        self.counted.connections = connections.len();
        if !self.sweep.begin(&connections, now_ns) {
            return Ok(());
        }
        let unknown = self.sweep_streams(&connections, now_ns)?;
        for id in self.sweep.finish(&connections, unknown, now_ns) {
            bpf::remove(fd(&self.connections), &id).map_err(stuck(names::METER_CONNECTIONS))?;
        }
        Ok(())
    }

    /// Returns the connections of open RPCs that are not known.
    fn sweep_streams(
        &mut self,
        connections: &Connections,
        now_ns: u64,
    ) -> Result<BTreeSet<u64>, KernelError> {
        let mut unknown = BTreeSet::new();
        let mut over: Vec<(StreamKey, Stream, End)> = Vec::new();
        visit(fd(&self.streams), |key: &StreamKey, stream: &Stream| {
            if !connections.contains_key(&key.connection) {
                unknown.insert(key.connection);
            }
            let end = self
                .sweep
                .judge(key.connection, stream, connections, now_ns);
            over.extend(end.map(|end| (*key, *stream, end)));
        })
        .map_err(unread(names::STREAMS))?;
        if !over.is_empty() {
            self.read_methods()?;
        }
        for (key, stream, end) in over {
            if bpf::remove(fd(&self.streams), &key).map_err(stuck(names::STREAMS))? {
                let label = self.known_methods.label(stream.service, stream.path);
                let side = self.sweep.count(&stream, end, label);
                if let End::Aborted { at_ns, .. } = end {
                    self.told.tell(&key, &stream, at_ns, label, side);
                }
            }
        }
        Ok(unknown)
    }

    fn read_methods(&mut self) -> Result<(), KernelError> {
        self.known_methods
            .refresh(fd(&self.methods))
            .map_err(unread(names::METHODS))?;
        self.counted.methods = self.known_methods.len();
        Ok(())
    }

    fn read_events(&self) -> Vec<(&'static str, u64)> {
        let mut events: Vec<_> = RpcEvent::ALL
            .iter()
            .map(|(event, label)| (*label, sum(&self.events, *event as u32)))
            .collect();
        events.push(("aborted", self.sweep.aborted()));
        events.push(("lost", self.sweep.lost()));
        events
    }

    fn read_skipped(&self) -> Vec<(&'static str, u64)> {
        Skip::ALL
            .iter()
            .map(|(skip, label)| {
                let by_kernel = sum(&self.skipped, *skip as u32);
                let by_agent = [
                    (Skip::RpcsFull, self.sweep.without_row()),
                    (Skip::ObservedFull, self.told.lost()),
                ];
                let by_agent = by_agent.iter().find(|(counted, _)| counted == skip);
                (*label, by_kernel + by_agent.map_or(0, |(_, count)| *count))
            })
            .collect()
    }

    fn read_directions(&self) -> Vec<Directions> {
        Mode::ALL
            .iter()
            .map(|(mode, state)| Directions {
                state,
                request: sum(&self.modes, mode_index(*mode as u32, false)),
                response: sum(&self.modes, mode_index(*mode as u32, true)),
            })
            .collect()
    }
}

fn fd(map: &MapData) -> BorrowedFd<'_> {
    map.fd().as_fd()
}

/// The sum over all CPUs; of a gauge it is right modulo 2^64, whichever CPUs went up and down.
fn sum(array: &PerCpuArray<MapData, u64>, index: u32) -> u64 {
    let values = array.get(&index, 0);
    values.map_or(0, |values| {
        values.iter().copied().fold(0, u64::wrapping_add)
    })
}

fn unread(map: &'static str) -> impl FnOnce(io::Error) -> KernelError {
    move |error| KernelError::map("read", map)(error.into())
}

fn stuck(map: &'static str) -> impl FnOnce(io::Error) -> KernelError {
    move |error| KernelError::map("remove a key from", map)(error.into())
}
