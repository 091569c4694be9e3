//! L0: what was measured, as plain data. The kernel room and the proxy fill it, the export room prints it.

mod bypasses;
mod calls;
mod exemplar;
mod live;
mod losses;
mod observed;
mod open_calls;
mod outcome;
mod process;
mod progress;
mod rpc;
mod trace;
mod under_way;

pub use bypasses::{BypassSeries, Bypasses, ProxyBypass};
pub use calls::{Calls, Counts, RoutedFigures, ServiceSeries, UpstreamSeries};
pub use exemplar::Exemplar;
pub use live::{BoundState, CallerNamespace, DestinationState, EjectedEndpoint, Live, LiveSource};
pub use losses::{LossFigures, Losses};
pub use observed::{
    METHOD_OTHER, ObservedAttempt, ObservedCall, ObservedMethod, ObservedRpc, REASONS, TraceParent,
};
pub use open_calls::{CallUnderWay, OpenCall, OpenCalls, SessionCalls};
pub use outcome::{AttemptOutcome, CallOutcome, LocalReply, Outcomes, Replaced};
pub use process::ProcessFigures;
pub use progress::{Progress, ProgressFigures};
pub use rpc::{CallSeries, Directions, RpcFigures, RpcLabels, RpcSeries};
pub use trace::{CallSpan, Propagated, Recording};
pub use under_way::{ProxyFigures, SessionGuard};

use mesh_common::capture::Bypass;
use mesh_common::connection::{CloseReason, ConnectError};
use mesh_common::histogram::Histogram;
use std::sync::Arc;

/// Who connected.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceLabels {
    /// `source_workload`: the workload, or on the host the systemd unit or process name; `unknown`; `_OTHER`.
    pub workload: Arc<str>,
    /// `source_namespace`: the Kubernetes namespace; empty for the host.
    pub namespace: Arc<str>,
}

/// Whom it was for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationLabels {
    /// `destination_service`.
    pub service: Arc<str>,
    /// `destination_namespace`.
    pub namespace: Arc<str>,
    /// `destination_workload`; empty if unknown, or if no endpoint was usable.
    pub workload: Arc<str>,
}

/// The way that a connection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Path {
    /// To an endpoint.
    Direct,
    /// To the proxy.
    Routed,
}

impl Path {
    /// The value of the label `path`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Routed => "routed",
        }
    }
}

/// Connections of one (source, destination).
#[derive(Clone, Debug)]
pub struct ConnectionSeries {
    /// Who.
    pub source: SourceLabels,
    /// Whom.
    pub destination: DestinationLabels,
    /// Where they go.
    pub path: Path,
    /// Connections established.
    pub opened: u64,
    /// Connections ended, by [`CloseReason`].
    pub closed: [u64; CloseReason::COUNT],
    /// Attempts failed, by [`ConnectError`].
    pub failed: [u64; ConnectError::COUNT],
    /// From `connect()` to established.
    pub connect: Histogram,
    /// Round-trip times.
    pub rtt: Histogram,
    /// Payload bytes, open connections included.
    pub sent_bytes: u64,
    /// Payload bytes, open connections included.
    pub received_bytes: u64,
    /// Retransmitted segments, open connections included.
    pub retransmits: u64,
    /// Connects that should have gone to the proxy and did not, by [`Bypass`].
    pub bypassed: [u64; Bypass::COUNT],
}

/// How full a map is.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MapFill {
    /// The map's name.
    pub name: &'static str,
    /// Entries in use; `None` where the kernel cannot count them (socket storage).
    pub entries: Option<u64>,
    /// Its capacity; `None` where none can be reached: socket storage, and arrays whose entries are all in use by design.
    pub capacity: Option<u64>,
    /// Services that wait for room in it now.
    pub waiting: u64,
    /// How often it had no room for one more.
    pub full_total: u64,
    /// Kernel memory in bytes (`memlock` of its fdinfo).
    pub memory_bytes: u64,
    /// Whether it is there once per CPU.
    pub is_per_cpu: bool,
}

/// Everything measured at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was taken, `CLOCK_MONOTONIC` ns.
    pub taken_ns: u64,
    /// Per (source, destination), ordered.
    pub connections: Vec<ConnectionSeries>,
    /// RPCs that the kernel has metered.
    pub rpcs: RpcFigures,
    /// Calls through the proxy.
    pub routed: RoutedFigures,
    /// Kernel counters by name ([`mesh_common::counter::Counter::ALL`]).
    pub counters: Vec<(&'static str, u64)>,
    /// Maps in the order of [`mesh_common::names::MAPS`].
    pub maps: Vec<MapFill>,
}

/// A mesh connection that is open now, as `connections` lists it.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// Source workload, `namespace/name` or the host's unit or process.
    pub source: String,
    /// Local address and port.
    pub local: std::net::SocketAddr,
    /// What the application asked for.
    pub requested: std::net::SocketAddr,
    /// The way it takes.
    pub path: Path,
    /// The endpoint it reached; `None`: the proxy.
    pub endpoint: Option<std::net::SocketAddr>,
    /// `namespace/name` of the Service.
    pub service: String,
    /// `namespace/name` of the workload behind the endpoint, if known.
    pub workload: String,
    /// `connecting` or `established` or `closing`.
    pub state: &'static str,
    /// Age in seconds.
    pub age_seconds: f64,
    /// Smoothed RTT in seconds.
    pub rtt_seconds: f64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Retransmitted segments.
    pub retransmits: u64,
}
