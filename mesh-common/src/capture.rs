//! Records of captured connections: from a routed service port to the agent's listener in the caller's network namespace.
//!
//! ```text
//! connect4/6  LISTENERS[(namespace, family)] ── there ──► rewritten to the listener, if HEARTBEAT says that its agent moves
//!                        │ not there: direct, or ECONNREFUSED; the namespace is told of in ARRIVALS
//! sock_ops    ORIGINS[(namespace, local address and port)] = what was asked for, before the SYN leaves
//! agent       accepts, takes the origin
//! ```

use crate::address::{Address, SocketAddress};
use crate::wire::record;

record! {
    /// Key of `LISTENERS`.
    pub struct ListenerKey, size 16 {
        /// Network namespace cookie.
        pub netns_cookie: u64,
        /// Address family, [`IPV4`] or [`IPV6`].
        pub family: u32,
        /// Zero.
        pub reserved: u32,
    }
}

/// [`ListenerKey::family`] of a listener at `127.0.0.1`.
pub const IPV4: u32 = 4;
/// [`ListenerKey::family`] of a listener at `[::1]`.
pub const IPV6: u32 = 6;

impl ListenerKey {
    /// The listener that connections from this namespace to `requested` go to.
    #[inline(always)]
    #[must_use]
    pub fn new(netns_cookie: u64, requested: &Address) -> Self {
        let family = if requested.to_v4().is_some() {
            IPV4
        } else {
            IPV6
        };
        Self {
            netns_cookie,
            family,
            reserved: 0,
        }
    }

    /// Where it listens, given its port in host order.
    #[inline(always)]
    #[must_use]
    pub const fn address(&self, port: u16) -> SocketAddress {
        let address = if self.family == IPV4 {
            Address::from_v4([127, 0, 0, 1])
        } else {
            Address {
                words: [0, 0, 0, u32::from_ne_bytes([0, 0, 0, 1])],
            }
        };
        SocketAddress::new(address, port)
    }
}

record! {
    /// Key of `ORIGINS`: the connecting end of a captured connection. Loopback addresses repeat across namespaces.
    pub struct OriginKey, size 32 {
        /// Network namespace cookie.
        pub netns_cookie: u64,
        /// The connecting socket's own address and port.
        pub client: SocketAddress,
        /// Zero.
        pub reserved: u32,
    }
}

record! {
    /// Where a captured connection was going.
    pub struct Origin, size 24 {
        /// The service address that the application asked for.
        pub requested: SocketAddress,
        /// Source labels: an id, see [`crate::source`].
        pub source: u32,
    }
}

record! {
    /// A routed service was asked for in a network namespace that has no listener.
    pub struct Arrival, size 16 {
        /// Network namespace cookie.
        pub netns_cookie: u64,
        /// Process that asked (thread group id in the initial PID namespace).
        pub process: u32,
        /// Zero.
        pub reserved: u32,
    }
}

record! {
    /// Key of `CONSUMERS`: callers of this Kubernetes namespace are routed at this service.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct ConsumerKey, size 8 {
        /// The service.
        pub service: u32,
        /// The namespace, by [`namespace_id`].
        pub namespace: u32,
    }
}

/// The Kubernetes namespace of a caller that is not known.
pub const NAMESPACE_UNKNOWN: u32 = 0;

/// The number of a Kubernetes namespace (FNV-1a); empty: the host, which is in none.
///
/// Two names may share a number, one pair in four billion: their callers meet the proxy where one of them has routes, and the
/// proxy goes by names.
#[must_use]
pub const fn namespace_id(name: &str) -> u32 {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return NAMESPACE_UNKNOWN;
    }
    let mut hash = 0x811c_9dc5_u32;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    if hash == NAMESPACE_UNKNOWN { 1 } else { hash }
}

/// The value of a `WORKLOAD_ADDRS` or `NETNS_SOURCES` entry: who is there, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallerEntry(pub u64);

impl CallerEntry {
    /// Source labels and the Kubernetes namespace's number.
    #[inline(always)]
    #[must_use]
    pub const fn new(source: u32, namespace: u32) -> Self {
        Self((source as u64) | ((namespace as u64) << 32))
    }

    /// Source labels: an id, see [`crate::source`].
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes the low half")]
    pub const fn source(self) -> u32 {
        self.0 as u32
    }

    /// The Kubernetes namespace, by [`namespace_id`].
    #[inline(always)]
    #[must_use]
    pub const fn namespace(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Why a connect to a routed service did not go to a listener: it went on directly, or was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Bypass {
    /// There is no listener in the caller's namespace (yet), or its agent is gone.
    NoListener = 0,
    /// The agent could not listen there.
    BindFailed = 1,
    /// There is a listener, but its agent does not move: see [`is_moving`].
    Stalled = 2,
}

impl Bypass {
    /// Number of reasons.
    pub const COUNT: usize = 3;

    /// Every reason with its label value, in order of its index.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::NoListener, "no_listener"),
        (Self::BindFailed, "bind_failed"),
        (Self::Stalled, "stalled"),
    ];
}

/// How old the agent's heartbeat may be, in ns: several times the pause between two, so that a busy machine is no dead agent.
pub const HEARTBEAT_AGE_MAX_NS: u64 = 2_000_000_000;

/// Whether an agent with this heartbeat takes connections; both times are of `CLOCK_MONOTONIC`, in ns, which stands still while
/// the machine is suspended. Zero: it has not begun.
#[inline(always)]
#[must_use]
pub const fn is_moving(heartbeat_ns: u64, now_ns: u64) -> bool {
    // It may have been stored after the clock was read.
    heartbeat_ns != 0 && now_ns.saturating_sub(heartbeat_ns) <= HEARTBEAT_AGE_MAX_NS
}

#[cfg(test)]
mod tests {
    use super::{
        Bypass, CallerEntry, HEARTBEAT_AGE_MAX_NS, IPV4, IPV6, ListenerKey, NAMESPACE_UNKNOWN,
        is_moving, namespace_id,
    };
    use crate::address::{Address, SocketAddress};
    use proptest::prelude::proptest;

    #[test]
    fn a_listener_is_of_the_family_that_was_asked_for() {
        let mut ipv6_loopback = [0; 16];
        ipv6_loopback[15] = 1;
        let rows = [
            (
                Address::from_v4([10, 96, 0, 1]),
                IPV4,
                Address::from_v4([127, 0, 0, 1]),
            ),
            (
                Address::from_v6([0xfd; 16]),
                IPV6,
                Address::from_v6(ipv6_loopback),
            ),
        ];
        for (requested, family, loopback) in rows {
            let key = ListenerKey::new(7, &requested);

            assert_eq!((key.netns_cookie, key.family), (7, family));
            assert_eq!(key.address(15_001), SocketAddress::new(loopback, 15_001));
        }
    }

    #[test]
    fn the_host_is_in_no_namespace() {
        assert_eq!(namespace_id(""), NAMESPACE_UNKNOWN);
        assert_ne!(namespace_id("shop"), namespace_id("shop2"));
    }

    #[test]
    fn labels_stand_at_their_index() {
        for (index, (reason, _)) in Bypass::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }

    #[test]
    fn an_agent_moves_for_as_long_as_its_heartbeat_is_fresh() {
        const NOW: u64 = 5 * HEARTBEAT_AGE_MAX_NS;
        for (heartbeat, moves) in [
            (NOW, true),
            (NOW + 1, true),
            (NOW - HEARTBEAT_AGE_MAX_NS, true),
            (NOW - HEARTBEAT_AGE_MAX_NS - 1, false),
            (1, false),
            (0, false),
        ] {
            assert_eq!(is_moving(heartbeat, NOW), moves, "{heartbeat}");
        }
        assert!(!is_moving(0, 1), "just booted, and no agent yet");
    }

    proptest! {
        #[test]
        fn no_name_is_unknown(name in "[a-z0-9-]{1,63}") {
            assert_ne!(namespace_id(&name), NAMESPACE_UNKNOWN);
        }

        #[test]
        fn both_halves_of_an_entry_survive(source: u32, namespace: u32) {
            let entry = CallerEntry::new(source, namespace);
            assert_eq!((entry.source(), entry.namespace()), (source, namespace));
        }
    }
}
