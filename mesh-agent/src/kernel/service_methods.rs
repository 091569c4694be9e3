//! The methods of services that are gone: the next service with such an id begins with none.

use super::KernelError;
use super::bpf;
use super::entries::visit;
use super::maps::LoadedMaps;
use aya::maps::{Array, Map, MapData};
use mesh_common::meter::record::{Method, MethodKey, methods_index};
use mesh_common::names::{METHODS, SERVICE_METHODS};
use std::collections::HashSet;
use std::fmt;
use std::os::fd::AsFd;

/// The labels of every service, and how many it has.
pub(super) struct ServiceMethods {
    methods: MapData,
    counts: Array<MapData, u64>,
}

// Aya's arrays do not say what they are.
impl fmt::Debug for ServiceMethods {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServiceMethods")
            .finish_non_exhaustive()
    }
}

impl ServiceMethods {
    /// Opens the maps.
    pub(super) fn new(maps: &LoadedMaps) -> Result<Self, KernelError> {
        let counts = Map::Array(maps.duplicate(SERVICE_METHODS)?);
        Ok(Self {
            methods: maps.duplicate(METHODS)?,
            counts: Array::try_from(counts).map_err(KernelError::map("open", SERVICE_METHODS))?,
        })
    }

    /// Removes the labels of services. A connection that outlives its Service may bring some back: they count for the
    /// next one with that id, and only against its number of labels.
    ///
    /// # Errors
    ///
    /// The kernel refused to read or remove labels; some may be gone.
    pub(super) fn forget(&mut self, services: &[u32]) -> Result<(), KernelError> {
        if services.is_empty() {
            return Ok(());
        }
        let gone: HashSet<u32> = services.iter().copied().collect();
        let mut labels = Vec::new();
        let methods = self.methods.fd().as_fd();
        visit(methods, |key: &MethodKey, _: &Method| {
            if gone.contains(&key.service) {
                labels.push(*key);
            }
        })
        .map_err(|error| KernelError::map("read", METHODS)(error.into()))?;
        for key in &labels {
            bpf::remove(methods, key)
                .map_err(|error| KernelError::map("remove a key from", METHODS)(error.into()))?;
        }
        for service in gone {
            self.counts
                .set(methods_index(service), 0, 0)
                .map_err(KernelError::map("set a key of", SERVICE_METHODS))?;
        }
        Ok(())
    }
}
