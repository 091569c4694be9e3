//! What is counted of connections, per (source, destination), at the connecting side.
//!
//! A row of `CONNECTIONS` is created and added to by the kernel. The agent only reads it, and removes
//! it once its destination is retired and its last connection has ended.
//!
//! Bytes are payload bytes acknowledged by, and received from, the peer. TCP's own counters are off by the
//! sequence numbers of SYN and FIN: `bytes_acked` includes the SYN and, once acknowledged, our FIN;
//! `bytes_received` includes the peer's FIN. The rows hold corrected figures of closed connections; open ones are read
//! with `INET_DIAG` and corrected by [`payload_sent`] and [`payload_received`] too.

use crate::capture::Bypass;
use crate::histogram::Histogram;
use crate::wire::record;

record! {
    /// Key of a row.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct ConnectionKey, size 8 {
        /// Source id.
        pub source: u32,
        /// Destination id.
        pub destination: u32,
    }
}

record! {
    /// Counts for one (source, destination). All zero at creation; only ever added to.
    pub struct ConnectionRow, size 560 {
        /// Connections established.
        pub opened: u64,
        /// Established connections that ended, by [`CloseReason`].
        pub closed: [u64; CloseReason::COUNT],
        /// Attempts that failed, by [`ConnectError`].
        pub failed: [u64; ConnectError::COUNT],
        /// From `connect()` to established.
        pub connect: Histogram,
        /// Smoothed round-trip time, sampled at establishment and then at most once a second.
        pub rtt: Histogram,
        /// Payload bytes acknowledged by the peer, of ended connections.
        pub sent_bytes: u64,
        /// Payload bytes received from the peer, of ended connections.
        pub received_bytes: u64,
        /// Retransmitted segments, of ended connections and failed attempts.
        pub retransmits: u64,
        /// Connects to a routed service that did not go to the proxy, by [`Bypass`].
        pub bypassed: [u64; Bypass::COUNT],
    }
}

/// Why an established connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseReason {
    /// Both sides finished (FIN).
    Fin = 0,
    /// The peer reset it.
    Reset = 1,
    /// No answer in time (retransmission or keep-alive timeout).
    Timeout = 2,
    /// The application aborted it: closed with unread data, or with `SO_LINGER` 0.
    Aborted = 3,
    /// Any other error.
    Error = 4,
}

impl CloseReason {
    /// Number of reasons.
    pub const COUNT: usize = 5;

    /// Every reason with its label value, in order of its index.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Fin, "fin"),
        (Self::Reset, "reset"),
        (Self::Timeout, "timeout"),
        (Self::Aborted, "aborted"),
        (Self::Error, "error"),
    ];
}

/// Why a connect attempt failed, the `errno` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ConnectError {
    /// The peer refused.
    ConnectionRefused = 0,
    /// No answer.
    TimedOut = 1,
    /// No route to the host, or no usable endpoint (the mesh's own answer).
    HostUnreachable = 2,
    /// No route to the network.
    NetworkUnreachable = 3,
    /// Reset during the handshake.
    ConnectionReset = 4,
    /// Refused by a firewall (`EACCES`, `EPERM`).
    Denied = 5,
    /// The application gave up while connecting.
    Cancelled = 6,
    /// Failed before the first packet left (no source address or port, no route).
    Local = 7,
    /// Any other error.
    Other = 8,
    /// The kernel offers no way to read the error (no BTF).
    Unknown = 9,
}

impl ConnectError {
    /// Number of values.
    pub const COUNT: usize = 10;

    /// Every value with its label, in order of its index.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::ConnectionRefused, "ECONNREFUSED"),
        (Self::TimedOut, "ETIMEDOUT"),
        (Self::HostUnreachable, "EHOSTUNREACH"),
        (Self::NetworkUnreachable, "ENETUNREACH"),
        (Self::ConnectionReset, "ECONNRESET"),
        (Self::Denied, "EACCES"),
        (Self::Cancelled, "CANCELLED"),
        (Self::Local, "LOCAL"),
        (Self::Other, "OTHER"),
        (Self::Unknown, "UNKNOWN"),
    ];
}

/// Payload bytes sent, from TCP's `bytes_acked` of a connection we opened.
///
/// `fin_acked`: whether the peer has acknowledged our FIN.
#[inline(always)]
#[must_use]
pub const fn payload_sent(bytes_acked: u64, fin_acked: bool) -> u64 {
    bytes_acked.saturating_sub(1 + fin_acked as u64)
}

/// Payload bytes received, from TCP's `bytes_received`.
///
/// `fin_received`: whether the peer's FIN has arrived in order.
#[inline(always)]
#[must_use]
pub const fn payload_received(bytes_received: u64, fin_received: bool) -> u64 {
    bytes_received.saturating_sub(fin_received as u64)
}

#[cfg(test)]
mod tests {
    use super::{CloseReason, ConnectError, payload_received, payload_sent};
    use proptest::prelude::proptest;

    #[test]
    fn labels_stand_at_their_index() {
        for (index, (reason, _)) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        for (index, (error, _)) in ConnectError::ALL.iter().enumerate() {
            assert_eq!(*error as usize, index);
        }
    }

    proptest! {
        #[test]
        fn tcp_counts_the_syn_and_the_fins_too(payload in 0..u64::MAX - 2) {
            assert_eq!(payload_sent(payload + 1, false), payload);
            assert_eq!(payload_sent(payload + 2, true), payload);
            assert_eq!(payload_received(payload, false), payload);
            assert_eq!(payload_received(payload + 1, true), payload);
        }
    }

    #[test]
    fn a_counter_that_has_not_moved_is_no_payload() {
        assert_eq!(payload_sent(0, false), 0);
        assert_eq!(payload_sent(1, true), 0);
        assert_eq!(payload_received(0, true), 0);
    }
}
