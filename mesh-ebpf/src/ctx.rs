//! The kernel's contexts as typed values.
//!
//! The verifier rewrites every access to a context and refuses two fields in one load as well as an address that is
//! computed first; see [`field`].

mod field;
mod packet;

pub(crate) use self::packet::{Content, Packet, Payload, Segment};

use self::field::{load_long, load_pointer, load_word, store_word};
use crate::maps;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr, bpf_sock_ops};
use aya_ebpf::helpers::generated::{
    bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_set_retval,
    bpf_skc_to_mptcp_sock, bpf_skc_to_tcp_sock, bpf_sock_ops_cb_flags_set,
};
use aya_ebpf::programs::{SockAddrContext, SockContext, SockOpsContext};
use core::mem::offset_of;
use mesh_common::address::{Address, SocketAddress};
use mesh_common::decide::SocketFacts;

/// Which of a context's address fields hold the address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A socket as the kernel hands it to a program. Not null, and valid for as long as the program runs.
#[derive(Clone, Copy)]
pub(crate) struct Socket(*mut bpf_sock);

impl Socket {
    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut bpf_sock {
        self.0
    }

    /// A socket that a map gave, if it gave one.
    #[inline(always)]
    pub(crate) fn found(socket: *mut bpf_sock) -> Option<Self> {
        (!socket.is_null()).then_some(Self(socket))
    }

    #[inline(always)]
    fn word<const OFFSET: usize>(self) -> u32 {
        // SAFETY: only called with offsets of `u32` fields of `bpf_sock`.
        unsafe { load_word::<OFFSET, _>(self.0) }
    }

    /// The TCP state, numbered as in [`mesh_common::ending::tcp_state`].
    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        self.word::<{ offset_of!(bpf_sock, state) }>()
    }

    /// Its own port.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a port")]
    pub(crate) fn source_port(self) -> u16 {
        self.word::<{ offset_of!(bpf_sock, src_port) }>() as u16
    }

    /// `SO_MARK`.
    #[inline(always)]
    pub(crate) fn mark(self) -> u32 {
        self.word::<{ offset_of!(bpf_sock, mark) }>()
    }

    /// Whether the socket carries part of an MPTCP connection (helper of kernel 5.19).
    #[inline(always)]
    fn is_mptcp(self) -> bool {
        if !maps::has_mptcp() {
            return false;
        }
        // SAFETY: the helper takes any socket.
        let parent = unsafe { bpf_skc_to_mptcp_sock(self.0.cast()) };
        !parent.is_null()
    }

    /// The address that the socket is bound to, unspecified if it is not bound.
    #[inline(always)]
    pub(crate) fn bound_address(self, family: Family) -> Address {
        match family {
            Family::V4 => Address::from_v4(
                self.word::<{ offset_of!(bpf_sock, src_ip4) }>()
                    .to_ne_bytes(),
            ),
            Family::V6 => {
                const FIRST: usize = offset_of!(bpf_sock, src_ip6);
                Address {
                    words: [
                        self.word::<{ FIRST }>(),
                        self.word::<{ FIRST + 4 }>(),
                        self.word::<{ FIRST + 8 }>(),
                        self.word::<{ FIRST + 12 }>(),
                    ],
                }
            }
        }
    }
}

/// The context of `connect` and `getpeername` hooks: a socket, and an address given by or to the application.
pub(crate) struct SocketCall {
    raw: *mut bpf_sock_addr,
    family: Family,
}

impl SocketCall {
    #[inline(always)]
    pub(crate) fn new(ctx: &SockAddrContext, family: Family) -> Self {
        Self {
            raw: ctx.sock_addr,
            family,
        }
    }

    #[inline(always)]
    fn word<const OFFSET: usize>(&self) -> u32 {
        // SAFETY: only called with offsets of `u32` fields of `bpf_sock_addr`.
        unsafe { load_word::<OFFSET, _>(self.raw) }
    }

    #[inline(always)]
    fn set_word<const OFFSET: usize>(&self, value: u32) {
        // SAFETY: only called with offsets of writable `u32` fields of `bpf_sock_addr`.
        unsafe { store_word::<OFFSET, _>(self.raw, value) }
    }

    /// The socket.
    #[inline(always)]
    pub(crate) fn socket(&self) -> Socket {
        const FIELD: usize = offset_of!(bpf_sock_addr, __bindgen_anon_1);
        // SAFETY: the union holds the pointer to the socket, which is never null in these hooks.
        Socket(unsafe { load_pointer::<FIELD, _, _>(self.raw) })
    }

    #[inline(always)]
    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// What is known of the socket without any lookup.
    #[inline(always)]
    pub(crate) fn facts(&self) -> SocketFacts {
        let socket = self.socket();
        SocketFacts {
            protocol: self.word::<{ offset_of!(bpf_sock_addr, protocol) }>(),
            mptcp: socket.is_mptcp(),
            bound_device: socket.word::<{ offset_of!(bpf_sock, bound_dev_if) }>(),
            mark: socket.mark(),
        }
    }

    /// The address in the call: where to connect, or the peer's name.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the port stands in the lower half"
    )]
    pub(crate) fn address(&self) -> SocketAddress {
        let address = match self.family {
            Family::V4 => Address::from_v4(
                self.word::<{ offset_of!(bpf_sock_addr, user_ip4) }>()
                    .to_ne_bytes(),
            ),
            Family::V6 => {
                const FIRST: usize = offset_of!(bpf_sock_addr, user_ip6);
                Address {
                    words: [
                        self.word::<{ FIRST }>(),
                        self.word::<{ FIRST + 4 }>(),
                        self.word::<{ FIRST + 8 }>(),
                        self.word::<{ FIRST + 12 }>(),
                    ],
                }
            }
        };
        let port = self.word::<{ offset_of!(bpf_sock_addr, user_port) }>() as u16;
        SocketAddress::from_parts(address, port.to_ne_bytes())
    }

    /// Replaces the address in the call. An IPv4 call can only take IPv4 addresses: says whether it could.
    #[inline(always)]
    pub(crate) fn set_address(&self, to: &SocketAddress) -> bool {
        match self.family {
            Family::V4 => {
                let Some(v4) = to.address.to_v4() else {
                    return false;
                };
                self.set_word::<{ offset_of!(bpf_sock_addr, user_ip4) }>(u32::from_ne_bytes(v4));
            }
            Family::V6 => {
                const FIRST: usize = offset_of!(bpf_sock_addr, user_ip6);
                let words = to.address.words;
                self.set_word::<{ FIRST }>(words[0]);
                self.set_word::<{ FIRST + 4 }>(words[1]);
                self.set_word::<{ FIRST + 8 }>(words[2]);
                self.set_word::<{ FIRST + 12 }>(words[3]);
            }
        }
        self.set_word::<{ offset_of!(bpf_sock_addr, user_port) }>(u32::from(u16::from_ne_bytes(
            to.port,
        )));
        true
    }

    /// The cookie of the socket's network namespace.
    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> u64 {
        // SAFETY: the helper takes the context of this hook.
        unsafe { bpf_get_netns_cookie(self.raw.cast()) }
    }

    /// Sets the error that the system call returns once this program has refused it.
    #[inline(always)]
    pub(crate) fn set_error(&self, errno: i32) {
        // SAFETY: has no preconditions.
        let _refused: i32 = unsafe { bpf_set_retval(-errno) };
    }
}

/// The context of the `sock_release` hook: the socket itself.
#[inline(always)]
pub(crate) fn released_socket(ctx: &SockContext) -> Socket {
    Socket(ctx.sock)
}

/// The context of `sock_ops`: a TCP socket, and what happens to it.
pub(crate) struct TcpEvent {
    raw: *mut bpf_sock_ops,
}

impl TcpEvent {
    #[inline(always)]
    pub(crate) fn new(ctx: &SockOpsContext) -> Self {
        Self { raw: ctx.ops }
    }

    #[inline(always)]
    fn word<const OFFSET: usize>(&self) -> u32 {
        // SAFETY: only called with offsets of `u32` fields of `bpf_sock_ops`.
        unsafe { load_word::<OFFSET, _>(self.raw) }
    }

    #[inline(always)]
    fn long<const OFFSET: usize>(&self) -> u64 {
        // SAFETY: only called with offsets of `u64` fields of `bpf_sock_ops`.
        unsafe { load_long::<OFFSET, _>(self.raw) }
    }

    /// What happens, a `BPF_SOCK_OPS_*` number.
    #[inline(always)]
    pub(crate) fn operation(&self) -> u32 {
        self.word::<{ offset_of!(bpf_sock_ops, op) }>()
    }

    /// The socket; `None` for a request socket, which has no state of ours.
    #[inline(always)]
    pub(crate) fn socket(&self) -> Option<Socket> {
        const FIELD: usize = offset_of!(bpf_sock_ops, __bindgen_anon_2);
        // SAFETY: the union holds the pointer to the socket, null unless it is a full one.
        let socket: *mut bpf_sock = unsafe { load_pointer::<FIELD, _, _>(self.raw) };
        (!socket.is_null()).then_some(Socket(socket))
    }

    /// The state that a state change leaves.
    #[inline(always)]
    pub(crate) fn old_state(&self) -> u32 {
        self.word::<{ offset_of!(bpf_sock_ops, __bindgen_anon_1) }>()
    }

    /// The state that a state change enters.
    #[inline(always)]
    pub(crate) fn new_state(&self) -> u32 {
        self.word::<{ offset_of!(bpf_sock_ops, __bindgen_anon_1) + 4 }>()
    }

    /// The local address, v4-mapped for IPv4 and for IPv6 sockets that talk IPv4.
    #[inline(always)]
    pub(crate) fn local_address(&self) -> Address {
        const AF_INET: u32 = 2;
        if self.word::<{ offset_of!(bpf_sock_ops, family) }>() == AF_INET {
            let v4 = self.word::<{ offset_of!(bpf_sock_ops, local_ip4) }>();
            return Address::from_v4(v4.to_ne_bytes());
        }
        const FIRST: usize = offset_of!(bpf_sock_ops, local_ip6);
        Address {
            words: [
                self.word::<{ FIRST }>(),
                self.word::<{ FIRST + 4 }>(),
                self.word::<{ FIRST + 8 }>(),
                self.word::<{ FIRST + 12 }>(),
            ],
        }
    }

    /// The local port.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a port")]
    pub(crate) fn local_port(&self) -> u16 {
        self.word::<{ offset_of!(bpf_sock_ops, local_port) }>() as u16
    }

    /// The cookie of the socket.
    #[inline(always)]
    pub(crate) fn cookie(&self) -> u64 {
        // SAFETY: the helper takes the context of this hook.
        unsafe { bpf_get_socket_cookie(self.raw.cast()) }
    }

    /// The remote address, in the form of [`Self::local_address`], and port.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the port stands in the upper half"
    )]
    pub(crate) fn remote(&self) -> SocketAddress {
        const AF_INET: u32 = 2;
        let address = if self.word::<{ offset_of!(bpf_sock_ops, family) }>() == AF_INET {
            let v4 = self.word::<{ offset_of!(bpf_sock_ops, remote_ip4) }>();
            Address::from_v4(v4.to_ne_bytes())
        } else {
            const FIRST: usize = offset_of!(bpf_sock_ops, remote_ip6);
            Address {
                words: [
                    self.word::<{ FIRST }>(),
                    self.word::<{ FIRST + 4 }>(),
                    self.word::<{ FIRST + 8 }>(),
                    self.word::<{ FIRST + 12 }>(),
                ],
            }
        };
        // In network byte order, and on little-endian machines in the upper half of the word.
        let port = u32::from_be(self.word::<{ offset_of!(bpf_sock_ops, remote_port) }>()) as u16;
        SocketAddress::new(address, port)
    }

    /// Smoothed round-trip time in ns; zero: not measured yet.
    #[inline(always)]
    pub(crate) fn round_trip_ns(&self) -> u64 {
        // The kernel keeps eight times the value, in microseconds.
        u64::from(self.word::<{ offset_of!(bpf_sock_ops, srtt_us) }>()) * 1_000 / 8
    }

    /// `bytes_acked`, SYN and FIN included.
    #[inline(always)]
    pub(crate) fn bytes_acked(&self) -> u64 {
        self.long::<{ offset_of!(bpf_sock_ops, bytes_acked) }>()
    }

    /// `bytes_received`, the FIN included.
    #[inline(always)]
    pub(crate) fn bytes_received(&self) -> u64 {
        self.long::<{ offset_of!(bpf_sock_ops, bytes_received) }>()
    }

    /// Segments sent again so far.
    #[inline(always)]
    pub(crate) fn retransmits(&self) -> u64 {
        u64::from(self.word::<{ offset_of!(bpf_sock_ops, total_retrans) }>())
    }

    /// Segments sent so far.
    #[inline(always)]
    pub(crate) fn segments_out(&self) -> u32 {
        self.word::<{ offset_of!(bpf_sock_ops, segs_out) }>()
    }

    /// Whether everything sent has been acknowledged.
    #[inline(always)]
    pub(crate) fn all_acked(&self) -> bool {
        self.word::<{ offset_of!(bpf_sock_ops, snd_una) }>()
            == self.word::<{ offset_of!(bpf_sock_ops, snd_nxt) }>()
    }

    /// Asks for further callbacks, on top of those that this or another program has asked for.
    #[inline(always)]
    #[expect(clippy::cast_possible_wrap, reason = "flags, seven bits in use")]
    pub(crate) fn subscribe(&self, flags: u32) {
        let flags = self.word::<{ offset_of!(bpf_sock_ops, bpf_sock_ops_cb_flags) }>() | flags;
        // SAFETY: the helper takes the context of this hook. It cannot fail: the socket is a full one, and every
        // kernel that has this helper's callers knows the flags.
        let _unknown: i64 = unsafe { bpf_sock_ops_cb_flags_set(self.raw, flags as i32) };
    }

    /// Reads an integer of the kernel's `struct sock` at an offset taken from the kernel's own type information.
    ///
    /// `unknown`: the offset is zero (not known), or the kernel forbids it (lockdown).
    #[inline(always)]
    pub(crate) fn peek<T: Copy>(&self, socket: Socket, offset: u32, unknown: T) -> T {
        if offset == 0 {
            return unknown;
        }
        // SAFETY: the helper takes any socket.
        let tcp_sock = unsafe { bpf_skc_to_tcp_sock(socket.as_ptr().cast()) };
        if tcp_sock.is_null() {
            return unknown;
        }
        let field = tcp_sock.cast::<u8>().wrapping_add(offset as usize);
        let mut value = unknown;
        #[expect(clippy::cast_possible_truncation, reason = "the size of an integer")]
        let size = size_of::<T>() as u32;
        // SAFETY: writes `size` bytes to `value`, an integer; the helper checks the source address.
        let failed = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size, field.cast()) };
        // On failure the helper has zeroed `value`.
        if failed == 0 { value } else { unknown }
    }
}
