//! How connections end: facts that the kernel offers at the transition to `CLOSE`, and what they mean.

use crate::connection::{CloseReason, ConnectError};

/// States of TCP as `sock_ops` numbers them (`BPF_TCP_*` in `linux/bpf.h`).
pub mod tcp_state {
    /// `SYN_SENT`.
    pub const SYN_SENT: u32 = 2;
    /// `FIN_WAIT2`.
    pub const FIN_WAIT2: u32 = 5;
    /// `CLOSE`.
    pub const CLOSE: u32 = 7;
    /// `CLOSE_WAIT`.
    pub const CLOSE_WAIT: u32 = 8;
    /// `LAST_ACK`.
    pub const LAST_ACK: u32 = 9;
    /// `LISTEN`.
    pub const LISTEN: u32 = 10;
    /// `CLOSING`.
    pub const CLOSING: u32 = 11;
}

/// Errors as `sk_err` holds them (`asm-generic/errno.h`; the same on every architecture that aya supports but MIPS).
mod errno {
    pub(super) const EPERM: u32 = 1;
    pub(super) const EACCES: u32 = 13;
    pub(super) const EPIPE: u32 = 32;
    pub(super) const ENETUNREACH: u32 = 101;
    pub(super) const ECONNABORTED: u32 = 103;
    pub(super) const ECONNRESET: u32 = 104;
    pub(super) const ETIMEDOUT: u32 = 110;
    pub(super) const ECONNREFUSED: u32 = 111;
    pub(super) const EHOSTUNREACH: u32 = 113;
}

/// `SOCK_DEAD` of `enum sock_flags`: the application has closed the socket.
const SOCK_DEAD: u64 = 1 << 0;

/// `SOCK_DONE` of `enum sock_flags`: the peer's FIN has arrived in order.
const SOCK_DONE: u64 = 1 << 1;

/// In place of `sk_err`: the kernel does not let us read it.
///
/// Not an `Option`: the compiler spills the undefined payload of a `None`, and verifiers stumble over the read of a
/// stack slot that nobody wrote.
pub const UNKNOWN_ERROR: u32 = u32::MAX;

/// In place of `sk_flags`: the kernel does not let us read them.
pub const UNKNOWN_FLAGS: u64 = u64::MAX;

/// What is known of a connection or an attempt at its transition to `CLOSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The state it comes from, see [`tcp_state`].
    pub old_state: u32,
    /// `sk_err`, or [`UNKNOWN_ERROR`].
    pub error: u32,
    /// `sk_flags`, or [`UNKNOWN_FLAGS`].
    pub flags: u64,
    /// Whether everything that was sent has been acknowledged (`snd_una == snd_nxt`).
    pub all_acked: bool,
    /// Segments sent.
    pub segments_out: u32,
}

impl Ending {
    /// Why an attempt failed.
    #[must_use]
    #[inline(always)]
    pub const fn connect_error(&self) -> ConnectError {
        // tcp_connect() itself failed, for want of a route or of memory; `sk_err` is that of an earlier connection.
        if self.segments_out == 0 {
            return ConnectError::Local;
        }
        match self.error {
            UNKNOWN_ERROR => ConnectError::Unknown,
            0 => ConnectError::Cancelled,
            errno::ECONNREFUSED => ConnectError::ConnectionRefused,
            errno::ETIMEDOUT => ConnectError::TimedOut,
            errno::EHOSTUNREACH => ConnectError::HostUnreachable,
            errno::ENETUNREACH => ConnectError::NetworkUnreachable,
            errno::ECONNRESET => ConnectError::ConnectionReset,
            errno::EACCES | errno::EPERM => ConnectError::Denied,
            _ => ConnectError::Other,
        }
    }

    /// Why an established connection ended.
    #[must_use]
    #[inline(always)]
    pub const fn close_reason(&self) -> CloseReason {
        match self.error {
            errno::ECONNRESET | errno::EPIPE => CloseReason::Reset,
            errno::ETIMEDOUT => CloseReason::Timeout,
            errno::ECONNABORTED => CloseReason::Aborted,
            _ if self.finished() => CloseReason::Fin,
            0 | UNKNOWN_ERROR => CloseReason::Aborted,
            // tcp_write_err(): time is up, and this is what ICMP said meanwhile.
            errno::EHOSTUNREACH | errno::ENETUNREACH => CloseReason::Timeout,
            _ => CloseReason::Error,
        }
    }

    /// Whether the peer has acknowledged our FIN, which `bytes_acked` then contains.
    ///
    /// In `CLOSING` and `LAST_ACK` its acknowledgement is what ends the connection; a FIN that still waits behind
    /// unsent data when the connection dies of an error has not been acknowledged though `all_acked` holds.
    #[must_use]
    #[inline(always)]
    pub const fn fin_acked(&self) -> bool {
        match self.old_state {
            tcp_state::FIN_WAIT2 => true,
            tcp_state::CLOSING | tcp_state::LAST_ACK => self.all_acked && !self.died(),
            _ => false,
        }
    }

    /// Whether the peer's FIN has arrived in order, which `bytes_received` then contains.
    #[must_use]
    #[inline(always)]
    pub const fn fin_received(&self) -> bool {
        match self.old_state {
            tcp_state::CLOSE_WAIT | tcp_state::LAST_ACK | tcp_state::CLOSING => true,
            _ => self.flags != UNKNOWN_FLAGS && self.flags & SOCK_DONE != 0,
        }
    }

    /// Whether the connection ended as TCP means it to end.
    const fn finished(&self) -> bool {
        match self.old_state {
            // Either the peer's FIN has arrived, or the application has closed the socket and a
            // timewait socket takes over. With neither, the application has just thrown it away (unread data, SO_LINGER 0).
            tcp_state::FIN_WAIT2 => self.flags & (SOCK_DONE | SOCK_DEAD) != 0,
            tcp_state::CLOSING | tcp_state::LAST_ACK => self.all_acked,
            _ => false,
        }
    }

    /// Whether an error ended the connection. Others may linger in `sk_err` from an ICMP message that ended nothing.
    const fn died(&self) -> bool {
        matches!(
            self.error,
            errno::ECONNRESET | errno::EPIPE | errno::ETIMEDOUT | errno::ECONNABORTED
        )
    }
}

#[cfg(test)]
mod tests {
    use super::tcp_state::{CLOSE_WAIT, CLOSING, FIN_WAIT2, LAST_ACK};
    use super::{Ending, SOCK_DEAD, SOCK_DONE, UNKNOWN_ERROR, UNKNOWN_FLAGS, errno, tcp_state};
    use crate::connection::CloseReason::{self, Aborted, Error, Fin, Reset, Timeout};
    use crate::connection::ConnectError;
    use proptest::prelude::proptest;

    const ESTABLISHED: u32 = 1;
    const FIN_WAIT1: u32 = 4;

    const fn ending(old_state: u32, error: u32, flags: u64, all_acked: bool) -> Ending {
        Ending {
            old_state,
            error,
            flags,
            all_acked,
            segments_out: 9,
        }
    }

    /// State left, `sk_err`, `sk_flags`, all acknowledged; reason, our FIN acknowledged, the peer's FIN received.
    type Row = (&'static str, u32, u32, u64, bool, CloseReason, bool, bool);

    #[rustfmt::skip]
    const ROWS: [Row; 17] = [
        ("we finish first and close", FIN_WAIT2, 0, SOCK_DEAD, true, Fin, true, false),
        ("we finish first, the peer follows", FIN_WAIT2, 0, SOCK_DONE, true, Fin, true, true),
        ("the peer finishes first", LAST_ACK, 0, SOCK_DONE | SOCK_DEAD, true, Fin, true, true),
        ("both finish at once", CLOSING, 0, SOCK_DONE | SOCK_DEAD, true, Fin, true, true),
        ("an ICMP error lingers", LAST_ACK, errno::EHOSTUNREACH, SOCK_DONE, true, Fin, true, true),
        ("linger 0", ESTABLISHED, 0, 0, true, Aborted, false, false),
        ("linger 0 after our FIN", FIN_WAIT2, 0, 0, true, Aborted, true, false),
        ("unread data", CLOSE_WAIT, 0, SOCK_DONE, true, Aborted, false, true),
        ("our FIN is not acknowledged", FIN_WAIT1, 0, SOCK_DEAD, false, Aborted, false, false),
        ("killed from outside", ESTABLISHED, errno::ECONNABORTED, 0, true, Aborted, false, false),
        ("reset", ESTABLISHED, errno::ECONNRESET, 0, false, Reset, false, false),
        ("reset after the peer's FIN", CLOSE_WAIT, errno::EPIPE, SOCK_DONE, true, Reset, false, true),
        ("reset while our FIN waits", LAST_ACK, errno::ECONNRESET, SOCK_DONE, true, Reset, false, true),
        ("reset after our FIN", FIN_WAIT2, errno::ECONNRESET, SOCK_DEAD, true, Reset, true, false),
        ("no answer", ESTABLISHED, errno::ETIMEDOUT, 0, false, Timeout, false, false),
        ("no answer but ICMP", ESTABLISHED, errno::EHOSTUNREACH, 0, false, Timeout, false, false),
        ("anything else", ESTABLISHED, 5, 0, false, Error, false, false),
    ];

    #[test]
    fn connections_end_for_the_reason_that_ended_them() {
        for (name, state, error, flags, all_acked, reason, fin_acked, fin_received) in ROWS {
            let ending = ending(state, error, flags, all_acked);
            assert_eq!(ending.close_reason(), reason, "{name}");
            assert_eq!(ending.fin_acked(), fin_acked, "{name}: our FIN");
            assert_eq!(
                ending.fin_received(),
                fin_received,
                "{name}: the peer's FIN"
            );
        }
    }

    #[test]
    fn without_type_information_the_state_must_do() {
        let blind = |old_state| ending(old_state, UNKNOWN_ERROR, UNKNOWN_FLAGS, true);
        assert_eq!(blind(FIN_WAIT2).close_reason(), Fin);
        assert_eq!(blind(LAST_ACK).close_reason(), Fin);
        assert!(blind(LAST_ACK).fin_received());
        assert!(!blind(FIN_WAIT2).fin_received());
        assert_eq!(blind(ESTABLISHED).close_reason(), Aborted);
        assert_eq!(
            blind(tcp_state::SYN_SENT).connect_error(),
            ConnectError::Unknown
        );
    }

    #[test]
    fn attempts_fail_with_the_error_of_the_socket() {
        let rows = [
            (0, ConnectError::Cancelled),
            (errno::ECONNREFUSED, ConnectError::ConnectionRefused),
            (errno::ETIMEDOUT, ConnectError::TimedOut),
            (errno::EHOSTUNREACH, ConnectError::HostUnreachable),
            (errno::ENETUNREACH, ConnectError::NetworkUnreachable),
            (errno::ECONNRESET, ConnectError::ConnectionReset),
            (errno::EACCES, ConnectError::Denied),
            (errno::EPERM, ConnectError::Denied),
            (92, ConnectError::Other),
        ];
        for (error, expected) in rows {
            let attempt = ending(tcp_state::SYN_SENT, error, 0, false);
            assert_eq!(attempt.connect_error(), expected, "errno {error}");
            let silent = Ending {
                segments_out: 0,
                ..attempt
            };
            assert_eq!(
                silent.connect_error(),
                ConnectError::Local,
                "errno {error}, no SYN"
            );
        }
    }

    proptest! {
        #[test]
        fn a_clean_end_means_that_our_fin_arrived(old_state in 1_u32..12, error: u32, flags: u64, all_acked: bool) {
            let ending = ending(old_state, error, flags, all_acked);
            if ending.close_reason() == Fin {
                assert!(ending.fin_acked(), "{ending:?}");
            }
        }
    }
}
