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

/// Every program.
pub const PROGRAMS: [&str; 6] = [
    CONNECT4,
    CONNECT6,
    GETPEERNAME4,
    GETPEERNAME6,
    CONNECTION,
    RELEASE,
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
/// Hash `Address` → source id (`u32`). Writer: agent.
pub const WORKLOAD_ADDRESSES: &str = "WORKLOAD_ADDRS";
/// Hash netns cookie (`u64`) → source id (`u32`). Writer: agent.
pub const NETNS_SOURCES: &str = "NETNS_SOURCES";
/// Hash `HostSourceKey` → source id (`u32`). Writer: kernel.
pub const HOST_SOURCES: &str = "HOST_SOURCES";
/// Array of one `u64`: host source numbers taken so far. Writer: kernel.
pub const HOST_SOURCE_NEXT: &str = "HOST_SOURCE_NXT";
/// Per-CPU array of counters (`u64`), indexed by [`crate::counter::Counter`]. Writer: kernel.
pub const COUNTERS: &str = "COUNTERS";

/// Every map, in the order in which `status` lists them. Map names are at most 15 bytes (`BPF_OBJ_NAME_LEN`).
pub const MAPS: [&str; 13] = [
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
    COUNTERS,
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
