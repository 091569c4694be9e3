//! L2: everything this agent does to, and reads from, the Linux kernel.
//!
//! [`open`] loads the programs and maps. From there three owners work on three threads: the [`Syncer`] carries
//! plans into the maps and attaches the programs, the [`Observer`] reads what was measured, [`Observations`] waits for
//! single RPCs that the meter tells of. They share nothing but label names and fill levels. [`check`] tries every kernel feature beforehand,
//! [`unload`] takes everything away again, with or without a running agent.

mod aborted;
mod addresses;
mod attached;
mod bpf;
mod btf;
mod callers;
mod check;
mod claims;
mod ends;
mod entries;
mod error;
mod fill;
mod heartbeat;
mod hosts;
mod installed;
mod labels;
mod listeners;
mod listening;
mod map_fill;
mod mapped;
mod maps;
mod metered;
mod methods;
mod mounts;
mod namespaces;
mod netlink;
mod netns_sources;
mod observations;
mod observer;
mod open;
mod origins;
mod pins;
mod programs;
mod quarantine;
mod ranges;
mod registry;
mod retirement;
mod routing;
mod rows;
mod rpc_names;
mod rpcs;
mod service_methods;
mod slots;
mod sock_diag;
mod sockets;
mod steps;
mod sweep;
mod syncer;
mod sys;
mod tables;
mod texts;
mod unload;
mod upstream;
mod waker;

pub use attached::{AttachedProgram, attached_programs};
pub use callers::Callers;
pub use check::{Finding, Injections, Status, check};
pub use error::KernelError;
pub use heartbeat::Heartbeat;
pub use listeners::{ListenerChange, Listeners};
pub use mounts::{find_bpffs_mount, find_cgroup2_mount};
pub use observations::Observations;
pub use observer::Observer;
pub use open::{Opened, ProxyParts, open};
pub use origins::{Captured, Origins};
pub use syncer::{ApplyProblem, ApplyReport, Syncer};
pub use sys::{bound_heap, release_code, trim_heap};
pub use unload::{UnloadReport, unload};
pub use upstream::{MakeUpstream, UpstreamOrder, UpstreamSockets};
pub use waker::Waker;

use mesh_common::names;
use std::path::PathBuf;

/// What the kernel room needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of the cgroup (v2) whose processes are in the mesh.
    pub cgroup: PathBuf,
    /// Directory on a bpffs that holds the pins; made if it is not there.
    pub bpffs: PathBuf,
    /// Sizes of the maps.
    pub capacities: Capacities,
    /// Forwards messages of the kernel programs up to this level; `None`: the programs write none.
    pub log_level: Option<LogLevel>,
    /// Port of the proxy's listeners, in each namespace where it is free.
    pub proxy_port: u16,
}

/// Sizes of the maps, fixed when the agent starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Services, each port and address family counted.
    pub services: u32,
    /// Endpoints, each counted once per service, port and address family it stands in.
    pub endpoints: u32,
    /// (source, destination) pairs that connections are counted for.
    pub connections: u32,
    /// RPCs that are open at once.
    pub streams: u32,
    /// Rows that RPCs are counted in: source, destination, method, status, and whose view it is.
    pub rpcs: u32,
    /// Processes of the host that are counted under their own name.
    pub host_sources: u32,
    /// Network namespaces known to belong to a workload, and as many that the proxy listens in.
    pub namespaces: u32,
}

impl Capacities {
    /// Rows of the endpoint tables. A table is written beside the one it replaces, and the old one
    /// rests for a grace period: four rows per endpoint leave room for that, weights and churn.
    const ROWS_PER_ENDPOINT: u32 = 4;

    /// Connections that are metered at once.
    const METERED_CONNECTIONS: u32 = 32_768;
    /// Connections of which only one end was seen yet.
    const PAIRS: u32 = 8_192;
    /// Connections whose first bytes came before their socket.
    const EARLY: u32 = 512;
    /// Pages of what came too early.
    const HELD: u32 = 1_024;
    /// Methods that are labels.
    const METHODS: u32 = 16_384;
    /// Methods that are no labels yet, in a map that forgets the oldest.
    pub(crate) const CANDIDATES: u32 = 4_096;
    /// Bytes of the ring of observations, a power of two: room for some 5,000.
    const OBSERVED_BYTES: u32 = 1 << 20;
    /// (Service port and family, Kubernetes namespace) whose connects are routed where not all are.
    pub(crate) const CONSUMERS: u32 = 16_384;
    /// Connections to the proxy that it has not accepted yet.
    const ORIGINS: u32 = 65_536;
    /// Bytes of the ring of namespaces without a listener, a power of two: room for some 2,700.
    const ARRIVALS_BYTES: u32 = 1 << 16;

    /// Entries of every map whose size is not fixed.
    pub(crate) fn by_map(self) -> [(&'static str, u32); 24] {
        [
            (names::FRONTENDS, self.frontends()),
            (names::SERVICES, self.services),
            (names::TABLE_ROWS, self.table_rows()),
            (names::ENDPOINTS, self.endpoints),
            (names::ENDPOINT_ADDRESSES, self.endpoints),
            (names::CONNECTIONS, self.connections),
            (names::WORKLOAD_ADDRESSES, self.endpoints),
            (names::NETNS_SOURCES, self.namespaces),
            (names::HOST_SOURCES, self.host_sources),
            (names::LISTENERS, self.namespaces.saturating_mul(2)),
            (names::UNLISTENED, self.namespaces),
            (names::CONSUMERS, Self::CONSUMERS),
            (names::ORIGINS, Self::ORIGINS),
            (names::ARRIVALS, Self::ARRIVALS_BYTES),
            (names::METER_CONNECTIONS, Self::METERED_CONNECTIONS),
            (names::PAIRS, Self::PAIRS),
            (names::EARLY, Self::EARLY),
            (names::HELD, Self::HELD),
            (names::STREAMS, self.streams),
            (names::RPCS, self.rpcs),
            (names::METHODS, Self::METHODS),
            (names::CANDIDATES, Self::CANDIDATES),
            (names::SERVICE_METHODS, self.services.saturating_add(1)),
            (names::OBSERVED, Self::OBSERVED_BYTES),
        ]
    }

    pub(crate) fn frontends(self) -> u32 {
        // Cluster IPs are at most one per service and family; the rest is room for the moment in
        // which an address changes hands.
        self.services.saturating_mul(2)
    }

    pub(crate) fn table_rows(self) -> u32 {
        self.endpoints
            .saturating_mul(Self::ROWS_PER_ENDPOINT)
            .saturating_add(
                self.services
                    .saturating_mul(2 * mesh_common::table::HEADER_ROWS),
            )
    }
}

impl Default for Capacities {
    /// A node of a large cluster: four times 1,000 services with 10,000 endpoints, in 4 MiB of maps
    /// and 10 MiB of connection counts.
    fn default() -> Self {
        Self {
            services: 4_096,
            endpoints: 32_768,
            connections: 16_384,
            streams: 32_768,
            rpcs: 16_384,
            host_sources: 1_024,
            namespaces: 1_024,
        }
    }
}

/// Importance of a message of the kernel programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogLevel {
    /// Errors alone.
    Error = 1,
    /// And warnings.
    Warn = 2,
    /// And information.
    Info = 3,
    /// And a line for every decision.
    Debug = 4,
    /// Everything.
    Trace = 5,
}
