//! The sign of life without which the kernel programs send nothing to the proxy: `HEARTBEAT`.

use super::KernelError;
use super::mapped::MappedArray;
use super::maps::LoadedMaps;
use mesh_common::names;
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::Ordering;

/// The agent's heartbeat.
#[derive(Debug)]
pub struct Heartbeat(MappedArray);

impl Heartbeat {
    pub(super) fn new(maps: &LoadedMaps) -> Result<Self, KernelError> {
        maps.mapped(names::HEARTBEAT, 1, size_of::<u64>()).map(Self)
    }

    /// Says that the proxy moved at `at_ns`, see [`Heartbeat::now_ns`].
    pub fn beat(&self, at_ns: u64) {
        self.0.store(0, 0, at_ns, Ordering::Relaxed);
    }

    /// Now, by the clock that the kernel programs hold it against (`CLOCK_MONOTONIC`), in ns.
    #[must_use]
    pub fn now_ns() -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let rest = u64::try_from(now.tv_nsec).unwrap_or_default();
        seconds * 1_000_000_000 + rest
    }
}
