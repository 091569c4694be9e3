//! The maps that the agent writes, as typed handles, and the writes themselves.

use super::KernelError;
use super::mapped::MappedArray;
use super::steps::{AddressStep, EndpointState, Step};
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use mesh_common::address::{Address, SocketAddress};
use mesh_common::capture::ConsumerKey;
use mesh_common::names;
use mesh_common::table::{EndpointRecord, FrontendEntry};
use std::borrow::BorrowMut;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use zerocopy::IntoBytes;

/// Words of an [`EndpointRecord`].
const ENDPOINT_WORDS: usize = size_of::<EndpointRecord>() / size_of::<u64>();

/// The word of an [`EndpointRecord`] that holds `usable` and `protocol`, which change in place: its last one.
const STATE_WORD: usize = std::mem::offset_of!(EndpointRecord, usable) / size_of::<u64>();

const _: () = assert!(size_of::<EndpointRecord>().is_multiple_of(size_of::<u64>()));
const _: () = assert!(STATE_WORD == ENDPOINT_WORDS - 1);
const _: () =
    assert!(std::mem::offset_of!(EndpointRecord, protocol) / size_of::<u64>() == STATE_WORD);

/// A map's data, whatever its type.
pub(super) fn data(map: &Map) -> Option<&MapData> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the contract has these types of maps only"
    )]
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::RingBuf(data)
        | Map::SockHash(data)
        | Map::SkStorage(data) => Some(data),
        _ => None,
    }
}

/// A second handle on a map.
pub(super) fn duplicate(name: &'static str, map: &MapData) -> Result<MapData, KernelError> {
    let fd = map
        .fd()
        .as_fd()
        .try_clone_to_owned()
        .map_err(KernelError::system("duplicate a map's file descriptor"))?;
    MapData::from_fd(fd).map_err(KernelError::map("open", name))
}

/// Maps by name as they come out of the loaded object.
#[derive(Debug)]
pub(super) struct LoadedMaps(Vec<(&'static str, MapData)>);

impl LoadedMaps {
    /// Takes second handles on every map of the contract.
    pub(super) fn new(ebpf: &aya::Ebpf) -> Result<Self, KernelError> {
        let mut maps = Vec::with_capacity(names::MAPS.len());
        for name in names::MAPS {
            let missing = KernelError::Missing { kind: "map", name };
            let map = ebpf.map(name).and_then(data).ok_or(missing)?;
            maps.push((name, duplicate(name, map)?));
        }
        Ok(Self(maps))
    }

    /// One map.
    pub(super) fn get(&self, name: &'static str) -> Result<&MapData, KernelError> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, map)| map)
            .ok_or(KernelError::Missing { kind: "map", name })
    }

    /// A second handle on one map.
    pub(super) fn duplicate(&self, name: &'static str) -> Result<MapData, KernelError> {
        duplicate(name, self.get(name)?)
    }

    /// A hash map with a handle of its own.
    pub(super) fn hash<K: aya::Pod, V: aya::Pod>(
        &self,
        name: &'static str,
    ) -> Result<HashMap<MapData, K, V>, KernelError> {
        let map = Map::HashMap(self.duplicate(name)?);
        HashMap::try_from(map).map_err(KernelError::map("open", name))
    }

    /// A per-CPU array of counts with a handle of its own.
    pub(super) fn per_cpu(
        &self,
        name: &'static str,
    ) -> Result<PerCpuArray<MapData, u64>, KernelError> {
        let map = Map::PerCpuArray(self.duplicate(name)?);
        PerCpuArray::try_from(map).map_err(KernelError::map("open", name))
    }

    /// A hash map that forgets what was used least, with a handle of its own.
    pub(super) fn lru_hash<K: aya::Pod, V: aya::Pod>(
        &self,
        name: &'static str,
    ) -> Result<HashMap<MapData, K, V>, KernelError> {
        let map = Map::LruHashMap(self.duplicate(name)?);
        HashMap::try_from(map).map_err(KernelError::map("open", name))
    }

    /// An array mapped into memory.
    pub(super) fn mapped(
        &self,
        name: &'static str,
        entries: u32,
        value_size: usize,
    ) -> Result<MappedArray, KernelError> {
        MappedArray::new(name, self.get(name)?.fd().as_fd(), entries, value_size)
    }

    /// Every map.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &MapData)> {
        self.0.iter().map(|(name, map)| (*name, map))
    }
}

/// The maps whose only writer is the [`super::Syncer`].
#[derive(Debug)]
pub(super) struct TableMaps {
    services: MappedArray,
    rows: MappedArray,
    endpoints: MappedArray,
    frontends: HashMap<MapData, SocketAddress, u64>,
    endpoint_addresses: HashMap<MapData, SocketAddress, u32>,
    workload_addresses: HashMap<MapData, Address, u64>,
    consumers: HashMap<MapData, ConsumerKey, u32>,
}

impl TableMaps {
    /// Opens the maps of a loaded object.
    pub(super) fn new(
        loaded: &LoadedMaps,
        capacities: super::Capacities,
    ) -> Result<Self, KernelError> {
        let word = size_of::<u64>();
        Ok(Self {
            services: loaded.mapped(names::SERVICES, capacities.services, word)?,
            rows: loaded.mapped(names::TABLE_ROWS, capacities.table_rows(), word)?,
            endpoints: loaded.mapped(
                names::ENDPOINTS,
                capacities.endpoints,
                size_of::<EndpointRecord>(),
            )?,
            frontends: loaded.hash(names::FRONTENDS)?,
            endpoint_addresses: loaded.hash(names::ENDPOINT_ADDRESSES)?,
            workload_addresses: loaded.hash(names::WORKLOAD_ADDRESSES)?,
            consumers: loaded.hash(names::CONSUMERS)?,
        })
    }

    /// Carries out one step. Only a step on an address can fail.
    ///
    /// # Errors
    ///
    /// The kernel refused the address, for want of room or memory.
    pub(super) fn write(&mut self, step: &Step) -> Result<(), (AddressStep, KernelError)> {
        match step {
            Step::Endpoint { id, record } => self.write_endpoint(*id, record),
            Step::State { id, state } => {
                self.endpoints
                    .store(*id, STATE_WORD, state_word(*state), Ordering::Release);
            }
            Step::Rows { offset, rows } => {
                for (index, row) in (*offset..).zip(rows) {
                    self.rows.store(index, 0, *row, Ordering::Relaxed);
                }
            }
            Step::Publish { service, reference } => {
                self.services
                    .store(*service, 0, reference.0, Ordering::Release);
            }
            Step::Address(step) => self.write_address(*step).map_err(|error| (*step, error))?,
        }
        Ok(())
    }

    /// Sets or removes one key.
    ///
    /// # Errors
    ///
    /// The kernel's refusal. Removing a key that is not there is none.
    pub(super) fn write_address(&mut self, step: AddressStep) -> Result<(), KernelError> {
        match step {
            AddressStep::Frontend(key, value) => {
                let entry = value.map(|service| FrontendEntry::new(&key, service).0);
                set(&mut self.frontends, names::FRONTENDS, key, entry)
            }
            AddressStep::Endpoint(key, value) => set(
                &mut self.endpoint_addresses,
                names::ENDPOINT_ADDRESSES,
                key,
                value.map(|entry| entry.0),
            ),
            AddressStep::Workload(key, value) => set(
                &mut self.workload_addresses,
                names::WORKLOAD_ADDRESSES,
                key,
                value.map(|entry| entry.0),
            ),
            AddressStep::Consumer(key, is_routed) => set(
                &mut self.consumers,
                names::CONSUMERS,
                key,
                is_routed.then_some(1),
            ),
        }
    }

    /// The id may be a reused one that an old affinity entry still names: the record turns usable last.
    fn write_endpoint(&self, id: u32, record: &EndpointRecord) {
        let words = record.as_bytes().chunks_exact(size_of::<u64>());
        for (index, word) in words.enumerate() {
            let word = <[u8; 8]>::try_from(word).map_or(0, u64::from_ne_bytes);
            let ordering = if index == STATE_WORD {
                Ordering::Release
            } else {
                Ordering::Relaxed
            };
            self.endpoints.store(id, index, word, ordering);
        }
    }
}

fn state_word(state: EndpointState) -> u64 {
    let mut word = [0; 8];
    word[..4].copy_from_slice(&u32::from(state.is_usable).to_ne_bytes());
    word[4..].copy_from_slice(&(state.protocol as u32).to_ne_bytes());
    u64::from_ne_bytes(word)
}

fn set<K: aya::Pod, V: aya::Pod>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    key: K,
    value: Option<V>,
) -> Result<(), KernelError> {
    let Some(value) = value else {
        return remove(map, name, &key);
    };
    map.insert(key, value, 0)
        .map_err(KernelError::map("set a key of", name))
}

/// Removes a key, which need not be there.
pub(super) fn remove<K: aya::Pod, V: aya::Pod>(
    map: &mut HashMap<impl BorrowMut<MapData>, K, V>,
    name: &'static str,
    key: &K,
) -> Result<(), KernelError> {
    match map.remove(key) {
        Err(error) if !is_missing_key(&error) => {
            Err(KernelError::map("remove a key from", name)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether a map operation failed because the key is not there.
fn is_missing_key(error: &MapError) -> bool {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two ways to say it, of many errors"
    )]
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{STATE_WORD, state_word};
    use crate::kernel::steps::EndpointState;
    use mesh_common::address::SocketAddress;
    use mesh_common::socket::Protocol;
    use mesh_common::table::EndpointRecord;
    use zerocopy::IntoBytes;

    #[test]
    fn the_state_word_is_what_the_record_has_there() {
        let record = EndpointRecord {
            address: SocketAddress::UNSPECIFIED,
            service: 1,
            destination: 2,
            generation: 3,
            usable: 1,
            protocol: Protocol::Other as u32,
        };
        let word = &record.as_bytes()[STATE_WORD * 8..];

        let state = EndpointState {
            is_usable: true,
            protocol: Protocol::Other,
        };
        assert_eq!(word, state_word(state).as_bytes());
    }
}
