//! Names of programs and maps, so that loader and kernel cannot drift apart.

/// Program: connect() to IPv4.
pub const CONNECT4: &str = "connect4";
/// Program: connect() to IPv6 (v4-mapped included).
pub const CONNECT6: &str = "connect6";
/// Program: getpeername() on IPv4 sockets.
pub const GETPEERNAME4: &str = "getpeername4";
/// Program: getpeername() on IPv6 sockets.
pub const GETPEERNAME6: &str = "getpeername6";
/// Program: the life of a connection (sock_ops).
pub const CONNECTION: &str = "connection";
/// Program: a socket is released.
pub const RELEASE: &str = "release";

/// Program: what sockets send (cgroup_skb egress): the meter.
pub const METER_EGRESS: &str = "meter_egress";
/// Program: what sockets receive (cgroup_skb ingress): the meter.
pub const METER_INGRESS: &str = "meter_ingress";

/// Every program.
pub const PROGRAMS: [&str; 8] = [
    CONNECT4,
    CONNECT6,
    GETPEERNAME4,
    GETPEERNAME6,
    CONNECTION,
    RELEASE,
    METER_EGRESS,
    METER_INGRESS,
];

/// Hash `SocketAddress` → `FrontendEntry` (`u64`). Writer: agent.
pub const FRONTENDS: &str = "FRONTENDS";
/// Array service id → `TableReference` (`u64`), memory-mapped by the agent. Writer: agent.
pub const SERVICES: &str = "SERVICES";
/// Array of table rows (`u64`), memory-mapped by the agent. Writer: agent.
pub const TABLE_ROWS: &str = "TABLE_ROWS";
/// Array endpoint id → `EndpointRecord`, memory-mapped by the agent. Writer: agent.
pub const ENDPOINTS: &str = "ENDPOINTS";
/// Hash `SocketAddress` → endpoint id (`u32`), for connects straight to an endpoint. Writer: agent.
pub const ENDPOINT_ADDRESSES: &str = "ENDPOINT_ADDRS";
/// Array of `AffinitySet`. Writer: kernel.
pub const AFFINITY: &str = "AFFINITY";
/// Socket storage of `SocketState`. Writer: kernel.
pub const SOCKETS: &str = "SOCKETS";
/// Hash `ConnectionKey` → `ConnectionRow`. Writer: kernel (the agent removes rows of retired destinations).
pub const CONNECTIONS: &str = "CONNECTIONS";
/// Hash `Address` → `CallerEntry` (`u64`). Writer: agent.
pub const WORKLOAD_ADDRESSES: &str = "WORKLOAD_ADDRS";
/// Hash netns cookie (`u64`) → `CallerEntry` (`u64`). Writer: agent.
pub const NETNS_SOURCES: &str = "NETNS_SOURCES";
/// Hash `HostSourceKey` → source id (`u32`). Writer: kernel.
pub const HOST_SOURCES: &str = "HOST_SOURCES";
/// Array of one `u64`: host source numbers taken so far. Writer: kernel.
pub const HOST_SOURCE_NEXT: &str = "HOST_SOURCE_NXT";
/// Hash of listening sockets by `ListenerKey`. Writer: agent; an entry goes with its socket.
pub const LISTENERS: &str = "LISTENERS";
/// Hash netns cookie (`u64`) → 1 (`u32`): namespaces in which the agent could not listen. Writer: agent.
pub const UNLISTENED: &str = "UNLISTENED";
/// Hash `ConsumerKey` → 1 (`u32`): callers whose connects are routed where not all are. Writer: agent.
pub const CONSUMERS: &str = "CONSUMERS";
/// Hash `OriginKey` → `Origin`: connections to the proxy that it has not asked for yet. Writer: kernel (the agent removes
/// those it has read).
pub const ORIGINS: &str = "ORIGINS";
/// Array of one `u64`: when all threads of the proxy moved last (`CLOCK_MONOTONIC`, ns), memory-mapped by the agent. Writer:
/// agent.
pub const HEARTBEAT: &str = "HEARTBEAT";
/// Ring of `Arrival`. Writer: kernel.
pub const ARRIVALS: &str = "ARRIVALS";
/// Per-CPU array of counters (`u64`), indexed by [`crate::counter::Counter`]. Writer: kernel.
pub const COUNTERS: &str = "COUNTERS";

/// Socket storage of `Meter`: what a socket sends. Writer: kernel.
pub const METER_OUT: &str = "METER_OUT";
/// Socket storage of `Meter`: what a socket receives, if its peer is elsewhere. Writer: kernel.
pub const METER_IN: &str = "METER_IN";
/// Hash connection (`u64`) → `MeteredConnection`. Writer: kernel (the agent removes closed ones).
pub const METER_CONNECTIONS: &str = "METER_CONNS";
/// Hash `PairKey` → `Link`: connections whose other end is not known yet. Writer: kernel.
pub const PAIRS: &str = "PAIRS";
/// Hash `PairKey` → `Meter`: what came with the last packet of a handshake. Writer: kernel.
pub const EARLY: &str = "EARLY";
/// LRU hash `HeldKey` → `HeldPage`: what came too early. Writer: kernel.
pub const HELD: &str = "HELD";
/// Hash `StreamKey` → `Stream`: open RPCs. Writer: kernel (the agent removes those of closed connections).
pub const STREAMS: &str = "STREAMS";
/// Hash `RpcKey` → `RpcRow`. Writer: kernel (the agent removes rows of retired destinations).
pub const RPCS: &str = "RPCS";
/// Hash `MethodKey` → `Method`: methods that are labels. Writer: kernel.
pub const METHODS: &str = "METHODS";
/// LRU hash `MethodKey` → `Method`: methods that are no labels yet. Writer: kernel.
pub const CANDIDATES: &str = "CANDIDATES";
/// Array service id + 1 (zero: of RPCs whose service is not known) → number of methods that are labels (`u64`). Writer:
/// kernel.
pub const SERVICE_METHODS: &str = "SERVICE_METHODS";
/// Ring of `Observation`. Writer: kernel.
pub const OBSERVED: &str = "OBSERVED";
/// Array of one `Sampling`. Writer: agent.
pub const SAMPLING: &str = "SAMPLING";
/// Per-CPU array of counters (`u64`), indexed by [`crate::meter::count::RpcEvent`]. Writer: kernel.
pub const METER_RPCS: &str = "METER_RPCS";
/// Per-CPU array of counters (`u64`), indexed by [`crate::meter::count::Skip`]. Writer: kernel.
pub const METER_SKIPPED: &str = "METER_SKIPPED";
/// Per-CPU array of gauges (`u64`, to be summed modulo 2^64), indexed by [`crate::meter::count::mode_index`]. Writer: kernel.
pub const METER_MODES: &str = "METER_MODES";

/// Every map, in the order in which `status` lists them. Map names are at most 15 bytes (`BPF_OBJ_NAME_LEN`).
pub const MAPS: [&str; 35] = [
    FRONTENDS,
    SERVICES,
    TABLE_ROWS,
    ENDPOINTS,
    ENDPOINT_ADDRESSES,
    AFFINITY,
    SOCKETS,
    CONNECTIONS,
    WORKLOAD_ADDRESSES,
    NETNS_SOURCES,
    HOST_SOURCES,
    HOST_SOURCE_NEXT,
    LISTENERS,
    UNLISTENED,
    CONSUMERS,
    ORIGINS,
    HEARTBEAT,
    ARRIVALS,
    COUNTERS,
    METER_OUT,
    METER_IN,
    METER_CONNECTIONS,
    PAIRS,
    EARLY,
    HELD,
    STREAMS,
    RPCS,
    METHODS,
    CANDIDATES,
    SERVICE_METHODS,
    OBSERVED,
    SAMPLING,
    METER_RPCS,
    METER_SKIPPED,
    METER_MODES,
];

/// Global: network namespace cookie of the host (`u64`).
pub const HOST_NETNS_COOKIE: &str = "HOST_NETNS_COOKIE";
/// Global: byte offset of `sk_err` in `struct sock` from vmlinux BTF (`u32`); zero: unknown.
pub const SK_ERR_OFFSET: &str = "SK_ERR_OFFSET";
/// Global: byte offset of `sk_flags` in `struct sock` from vmlinux BTF (`u32`); zero: unknown.
///
/// `sk_flags` is a macro: the member is `skc_flags`, in an anonymous union of `struct sock_common`, with which `struct sock` begins.
pub const SK_FLAGS_OFFSET: &str = "SK_FLAGS_OFFSET";
/// Global: one if the kernel has MPTCP, that is, `struct mptcp_sock` in vmlinux BTF (`u8`); zero: no socket is taken for MPTCP.
pub const HAS_MPTCP: &str = "HAS_MPTCP";

/// Global: what digests of paths begin with (`u64`), so that nobody outside can choose two paths with one digest.
pub const PATH_KEY: &str = "PATH_KEY";

#[cfg(test)]
mod tests {
    use super::{MAPS, PROGRAMS};

    #[test]
    fn names_fit_the_kernel() {
        for name in MAPS.iter().chain(&PROGRAMS) {
            assert!(name.len() <= 15, "{name}");
        }
    }
}
