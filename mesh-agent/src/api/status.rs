//! How the agent is.

use super::Problem;
use crate::observe::RpcFigures;
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
    /// The meter of RPCs.
    pub meter: Meter,
    /// The proxy of routed connections.
    #[serde(default)]
    pub proxy: ProxyActivity,
    /// The configuration.
    pub configuration: Configuration,
}

impl Status {
    /// The maps that have no room now.
    #[must_use]
    pub fn full_maps(&self) -> Vec<&Map> {
        self.maps.iter().filter(|map| map.is_full()).collect()
    }

    /// Kernel memory of the maps, in bytes: of all, and of those that are there once, whatever the number of CPUs.
    #[must_use]
    pub fn map_memory(&self) -> (u64, u64) {
        let sum = |maps: &mut dyn Iterator<Item = &Map>| maps.map(|map| map.memory_bytes).sum();
        let all = sum(&mut self.maps.iter());
        (
            all,
            sum(&mut self.maps.iter().filter(|map| !map.is_per_cpu)),
        )
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
    /// Instructions that the kernel's verifier went through to accept it; it gives up at 1,000,000. None: not told.
    #[serde(default)]
    pub verified_instructions: Option<u32>,
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
    /// Whether it is there once per CPU.
    pub is_per_cpu: bool,
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

/// How the meter of RPCs is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// RPCs that are open now.
    pub active: u64,
    /// What became of RPCs.
    pub rpcs: Vec<Count>,
    /// Directions of open connections, by how much of them the meter understands.
    pub directions: Vec<MeteredDirections>,
    /// Why something was not metered, where that has happened.
    pub skipped: Vec<Count>,
}

/// What the proxy has under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyActivity {
    /// Callers' connections that speak HTTP/2.
    pub connections: u64,
    /// Requests on them that have not ended, gRPC or not.
    pub requests: u64,
}

/// A count and what of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What is counted.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// Directions in one state of the meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeteredDirections {
    /// The state.
    pub state: String,
    /// From client to server.
    pub request: u64,
    /// From server to client.
    pub response: u64,
}

impl From<&RpcFigures> for Meter {
    fn from(figures: &RpcFigures) -> Self {
        let count = |(name, count): &(&'static str, u64)| Count {
            name: (*name).to_owned(),
            count: *count,
        };
        let skipped = figures.skipped.iter().filter(|(_, count)| *count > 0);
        Self {
            active: figures.active,
            rpcs: figures.events.iter().map(count).collect(),
            directions: figures
                .directions
                .iter()
                .map(|directions| MeteredDirections {
                    state: directions.state.to_owned(),
                    request: directions.request,
                    response: directions.response,
                })
                .collect(),
            skipped: skipped.map(count).collect(),
        }
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
