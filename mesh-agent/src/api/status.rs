//! How the agent is.

use super::Problem;
use serde::{Deserialize, Serialize};

/// `/api/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it was started.
    pub uptime_seconds: u64,
    /// The node it runs for.
    pub node: String,
    /// What it waits for before it is ready; empty: ready.
    pub not_ready: Vec<String>,
    /// What this kernel cannot give the agent; empty: full function.
    pub degraded: Vec<String>,
    /// The cgroup whose processes are in the mesh.
    pub cgroup: String,
    /// Where programs, links and maps are pinned.
    pub pins: String,
    /// The kernel programs.
    pub programs: Vec<Program>,
    /// The kernel maps.
    pub maps: Vec<Map>,
    /// The configuration.
    pub configuration: Configuration,
}

impl Status {
    /// The maps that have no room now.
    #[must_use]
    pub fn full_maps(&self) -> Vec<&Map> {
        self.maps.iter().filter(|map| map.is_full()).collect()
    }

    /// Whether nothing is wrong; warnings alone are fine.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.not_ready.is_empty()
            && self.full_maps().is_empty()
            && self.configuration.is_fine()
            && self
                .programs
                .iter()
                .all(|program| program.attached_to.is_some())
    }
}

/// One kernel program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its id in the kernel.
    pub id: u32,
    /// The cgroup it is attached to.
    pub attached_to: Option<String>,
}

/// One kernel map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Its name.
    pub name: String,
    /// Entries in use, where the kernel can count them.
    pub entries: Option<u64>,
    /// How many it can hold; none where that cannot be reached: socket storage and fixed arrays.
    pub capacity: Option<u64>,
    /// Services that wait for room in it now.
    pub waiting: u64,
    /// How often it had no room for one more.
    pub full_total: u64,
    /// Kernel memory in bytes.
    pub memory_bytes: u64,
}

impl Map {
    /// Whether it has no room now: for one more entry, or for all of a Service that waits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let is_at_capacity = matches!((self.entries, self.capacity), (Some(entries), Some(capacity)) if entries >= capacity);
        is_at_capacity || self.waiting > 0
    }

    /// Whether it is an array whose entries are all in use by design.
    #[must_use]
    pub const fn is_fixed(&self) -> bool {
        self.entries.is_some() && self.capacity.is_none()
    }
}

/// What is known of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Where it comes from.
    pub source: String,
    /// Generation last read.
    pub generation_seen: u64,
    /// Generation that is in the kernel.
    pub generation_kernel: u64,
    /// Services in force.
    pub services: usize,
    /// Endpoints the manifests name.
    pub endpoints: usize,
    /// Objects that are left out, or in force in an older version.
    pub rejected: usize,
    /// Why the kernel does not have the newest generation, if it has not.
    pub apply_error: Option<String>,
    /// Things that are not in force as written.
    pub errors: usize,
    /// Things that are in force, but will surprise.
    pub warnings: usize,
    /// The first few of them, errors first.
    pub problems: Vec<Problem>,
}

impl Configuration {
    fn is_fine(&self) -> bool {
        self.generation_seen == self.generation_kernel
            && self.rejected == 0
            && self.errors == 0
            && self.apply_error.is_none()
    }
}
