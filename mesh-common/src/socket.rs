//! What the mesh remembers of one connecting socket, in socket storage.

use crate::address::SocketAddress;
use crate::wire::record;

record! {
    /// State of one connecting socket from `connect()` to its close. Lives in `SOCKETS`
    /// (`SK_STORAGE`), so that it can neither outlive the socket nor be evicted.
    ///
    /// ```text
    /// connect4/6         TCP_CONNECT_CB       ACTIVE_ESTABLISHED_CB          → CLOSE
    ///  Attempted ───────► Connecting ─────────► Established ─────────────────► Done (counted as closed)
    ///     │ released or        │ → CLOSE
    ///     │ tried again        ▼
    ///     └─► failed LOCAL     Done (counted as failed, errno)
    /// ```
    ///
    /// A simultaneous open (or a socket that connects to itself) becomes established in
    /// `PASSIVE_ESTABLISHED_CB`. A connect() that the mesh has no part in leaves `Done`, not rewritten.
    pub struct SocketState, size 104 {
        /// Start of the attempt, `CLOCK_MONOTONIC` in ns (`bpf_ktime_get_ns`).
        pub started_ns: u64,
        /// When the connection was established, same clock; zero before.
        pub established_ns: u64,
        /// When the last RTT sample was taken, same clock.
        pub sampled_ns: u64,
        /// Network namespace cookie of the socket.
        pub netns_cookie: u64,
        /// What the application asked for: the service address, or the endpoint's own.
        pub requested: SocketAddress,
        /// Where the connection really goes: the endpoint's address, or a listener of the proxy.
        pub peer: SocketAddress,
        /// The phase, a [`Phase`] as integer.
        pub phase: u32,
        /// Whether the destination was rewritten, so that `getpeername` must answer `requested`: a [`Rewrite`] as integer.
        pub rewritten: u32,
        /// The service.
        pub service: u32,
        /// The endpoint id; [`NO_ENDPOINT`]: the connection goes to the proxy.
        pub endpoint: u32,
        /// Source labels: an id, see [`crate::source`].
        pub source: u32,
        /// Destination labels: an id the agent resolves.
        pub destination: u32,
        /// What the endpoint speaks, a [`Protocol`] as integer.
        pub protocol: u32,
        /// Whether the meter has looked at its first bytes, a [`Metering`] as integer.
        pub metering: u32,
    }
}

/// [`SocketState::endpoint`] of a connection to the proxy.
pub const NO_ENDPOINT: u32 = u32::MAX;

/// What a connect was turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Rewrite {
    /// Nothing: it goes where it was asked to.
    None = 0,
    /// A connection to an endpoint.
    Endpoint = 1,
    /// A connection to a listener of the proxy.
    Listener = 2,
}

/// What a service port speaks, as far as the kernel cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Protocol {
    /// Not declared: the first bytes decide.
    Unknown = 0,
    /// Declared gRPC or HTTP/2 without TLS.
    Http2 = 1,
    /// Declared something else.
    Other = 2,
}

/// What the meter makes of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Metering {
    /// No payload was seen yet.
    Undecided = 0,
    /// It has a meter.
    Metered = 1,
    /// It is not HTTP/2, or declared something else.
    Declined = 2,
    /// Declared HTTP/2, and is not: counted as opaque until it is closed.
    Opaque = 3,
}

/// Where a connecting socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// `connect()` was called; no packet yet.
    Attempted = 1,
    /// The SYN is on its way.
    Connecting = 2,
    /// The handshake is complete; the connection is counted as opened.
    Established = 3,
    /// Counted as closed or failed, or not to be counted (no row could be had for it).
    Done = 4,
}

impl Phase {
    /// Decodes the integer of a record; `None` for a value no program writes.
    #[inline(always)]
    #[must_use]
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::Attempted),
            2 => Some(Self::Connecting),
            3 => Some(Self::Established),
            4 => Some(Self::Done),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Phase;
    use proptest::prelude::proptest;

    proptest! {
        #[test]
        fn a_phase_is_decoded_never_trusted(value: u32) {
            assert!(Phase::from_u32(value).is_none_or(|phase| phase as u32 == value));
        }
    }

    #[test]
    fn every_phase_survives() {
        for phase in [
            Phase::Attempted,
            Phase::Connecting,
            Phase::Established,
            Phase::Done,
        ] {
            assert_eq!(Phase::from_u32(phase as u32), Some(phase));
        }
        assert_eq!(Phase::from_u32(0), None, "what new storage holds");
    }
}
