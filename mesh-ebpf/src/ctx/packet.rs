//! The context of `cgroup_skb`: a packet from its IP header on, and the socket that sends or receives it.

use super::Socket;
use super::field::{load_long, load_packet_pointer, load_pointer, load_word};
use aya_ebpf::bindings::{__sk_buff, bpf_sock, bpf_tcp_sock as BpfTcpSock};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skb_load_bytes, bpf_tcp_sock};
use aya_ebpf::programs::SkBuffContext;
use core::mem::{MaybeUninit, offset_of};
use mesh_common::address::{Address, SocketAddress};
use mesh_common::ending::tcp_state;
use mesh_common::meter::{bound, zero};

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TCP: u8 = 6;

/// Bytes of headers without options.
const V4_HEADER: u32 = 20;
const V6_HEADER: u32 = 40;
const TCP_HEADER: u32 = 20;

/// Where the addresses stand.
const V4_ADDRESSES: u32 = 12;
const V6_ADDRESSES: u32 = 8;

/// No packet is longer, and if it were, it would not be looked at.
const LENGTH_MAX: u32 = 1 << 20;

/// A packet.
#[derive(Clone, Copy)]
pub(crate) struct Packet(pub(super) *mut __sk_buff);

/// The payload of a TCP segment; never empty.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Payload {
    /// Where it begins in the packet.
    pub(crate) at: u32,
    /// How many bytes it has.
    pub(crate) length: u32,
    /// The sequence number of the first.
    pub(crate) sequence: u32,
    /// The next byte that the sender expects.
    pub(crate) acknowledged: u32,
}

/// What a packet of a TCP socket carries.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// Bytes of the stream.
    Payload(Payload),
    /// None.
    Nothing,
    /// Something the meter cannot read: no TCP, or headers that it does not look behind.
    Unreadable,
}

/// The first `BYTES` of a packet.
#[derive(Clone, Copy)]
struct Front<const BYTES: usize>(*const u8);

impl<const BYTES: usize> Front<BYTES> {
    /// The four bytes at `AT`, as they stand there.
    #[inline(always)]
    fn word<const AT: usize>(self) -> u32 {
        const { assert!(AT + 4 <= BYTES) };
        // SAFETY: so many bytes are there; the one load needs no alignment where the mesh runs (x86-64, arm64).
        unsafe { load_word::<AT, _>(self.0) }
    }
}

/// A segment and its two ends.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// Its payload.
    pub(crate) payload: Payload,
    /// The sender.
    pub(crate) source: SocketAddress,
    /// The receiver.
    pub(crate) destination: SocketAddress,
}

impl Packet {
    #[inline(always)]
    pub(crate) fn new(ctx: &SkBuffContext) -> Self {
        Self(ctx.skb.skb)
    }

    #[inline(always)]
    pub(crate) fn from_ptr(packet: *mut __sk_buff) -> Self {
        Self(packet)
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut __sk_buff {
        self.0
    }

    #[inline(always)]
    fn word<const OFFSET: usize>(self) -> u32 {
        // SAFETY: only called with offsets of `u32` fields of `__sk_buff`.
        unsafe { load_word::<OFFSET, _>(self.0) }
    }

    /// The socket that sends or receives it: a listener, too.
    #[inline(always)]
    pub(crate) fn socket(self) -> Option<Socket> {
        const FIELD: usize = offset_of!(__sk_buff, __bindgen_anon_2);
        // SAFETY: the union holds the pointer to the socket.
        let socket: *mut bpf_sock = unsafe { load_pointer::<FIELD, _, _>(self.0) };
        (!socket.is_null()).then_some(Socket(socket))
    }

    /// Bytes from the IP header on.
    #[inline(always)]
    pub(crate) fn length(self) -> u32 {
        self.word::<{ offset_of!(__sk_buff, len) }>()
    }

    /// Its mark.
    #[inline(always)]
    pub(crate) fn mark(self) -> u32 {
        self.word::<{ offset_of!(__sk_buff, mark) }>()
    }

    /// The cookie of the socket.
    #[inline(always)]
    pub(crate) fn cookie(self) -> u64 {
        // SAFETY: the helper takes the context of this hook.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }

    /// The sequence number that TCP itself waits for next; `None`: the socket has no connection yet.
    #[inline(always)]
    pub(crate) fn awaited(self) -> Option<u32> {
        let socket = self.socket()?;
        if socket.state() == tcp_state::LISTEN {
            return None;
        }
        // SAFETY: the helper takes any socket, and gives null if it is none of TCP's.
        let tcp = unsafe { bpf_tcp_sock(socket.as_ptr()) };
        if tcp.is_null() {
            return None;
        }
        // SAFETY: a field of the record.
        Some(unsafe { load_word::<{ offset_of!(BpfTcpSock, rcv_nxt) }, _>(tcp) })
    }

    /// The sequence number of the connection's first byte, if TCP has got none yet.
    #[inline(always)]
    pub(crate) fn first(self) -> Option<u32> {
        // SAFETY: the helper takes any socket, and gives null if it is none of TCP's.
        let tcp = unsafe { bpf_tcp_sock(self.socket()?.as_ptr()) };
        if tcp.is_null() {
            return None;
        }
        // SAFETY: a field of the record.
        let bytes = unsafe { load_long::<{ offset_of!(BpfTcpSock, bytes_received) }, _>(tcp) };
        // SAFETY: a field of the record.
        let next = unsafe { load_word::<{ offset_of!(BpfTcpSock, rcv_nxt) }, _>(tcp) };
        (bytes == 0).then_some(next)
    }

    /// Copies `length` bytes, at least one, from `offset` of the packet; says whether there were so many.
    ///
    /// # Safety
    ///
    /// `to` must have room for `length` bytes.
    #[inline(always)]
    pub(crate) unsafe fn load(self, offset: u32, to: *mut u8, length: u32) -> bool {
        // SAFETY: promised by the caller.
        unsafe { bpf_skb_load_bytes(self.0.cast(), offset, to.cast(), length) == 0 }
    }

    /// Up to 24 bytes from `offset` as little-endian words, zeros behind the first `length` bytes.
    #[inline(always)]
    pub(crate) fn front(self, offset: u32, length: u32) -> [u64; 3] {
        // Room for as many as the verifier takes the bound to be.
        let mut words = [zero(); 4];
        if length == 0 {
            return [0; 3];
        }
        let wanted = if length < 24 { length } else { 24 };
        let count = bound::<31>(wanted.wrapping_sub(1)) + 1;
        // SAFETY: at most 32 bytes.
        unsafe { self.load(offset, (&raw mut words).cast(), count) };
        [words[0], words[1], words[2]]
    }

    /// Copies `N` words from `offset`; `None`: there are not so many.
    #[inline(always)]
    fn words<const N: usize>(self, offset: u32) -> Option<[u32; N]> {
        #[expect(clippy::cast_possible_truncation, reason = "a header is short")]
        let bytes = const { 4 * N as u32 };
        let mut words = MaybeUninit::<[u32; N]>::uninit();
        // SAFETY: the size of the array.
        let is_read = unsafe { self.load(offset, words.as_mut_ptr().cast(), bytes) };
        // SAFETY: the helper has written each byte, zeros if it failed.
        let words = unsafe { words.assume_init() };
        is_read.then_some(words)
    }

    /// What a packet of a TCP socket carries.
    #[inline(always)]
    pub(crate) fn content(self) -> Content {
        match self.version() {
            IPV4 => self.content_v4(),
            IPV6 => self.content_v6(),
            _ => Content::Unreadable,
        }
    }

    #[inline(always)]
    fn content_v4(self) -> Content {
        const WHOLE: usize = (V4_HEADER + TCP_HEADER) as usize;
        let Some(front) = self.front_bytes::<WHOLE>() else {
            return Content::Unreadable;
        };
        if front.word::<8>().to_ne_bytes()[1] != TCP {
            return Content::Unreadable;
        }
        let header = u32::from(front.word::<0>().to_ne_bytes()[0] & 0xf) * 4;
        if header == V4_HEADER {
            const TCP_AT: usize = V4_HEADER as usize;
            let tcp = [
                front.word::<{ TCP_AT + 4 }>(),
                front.word::<{ TCP_AT + 8 }>(),
                front.word::<{ TCP_AT + 12 }>(),
            ];
            return self.behind(header, tcp);
        }
        // IP options: rare.
        match self.words::<4>(header) {
            Some([_, sequence, acknowledged, rest]) => {
                self.behind(header, [sequence, acknowledged, rest])
            }
            None => Content::Unreadable,
        }
    }

    #[inline(always)]
    fn content_v6(self) -> Content {
        const TCP_AT: usize = V6_HEADER as usize;
        const WHOLE: usize = (V6_HEADER + TCP_HEADER) as usize;
        let Some(front) = self.front_bytes::<WHOLE>() else {
            return Content::Unreadable;
        };
        // No extension header: none is usual in front of TCP.
        if front.word::<4>().to_ne_bytes()[2] != TCP {
            return Content::Unreadable;
        }
        let tcp = [
            front.word::<{ TCP_AT + 4 }>(),
            front.word::<{ TCP_AT + 8 }>(),
            front.word::<{ TCP_AT + 12 }>(),
        ];
        self.behind(V6_HEADER, tcp)
    }

    /// What stands behind a TCP header, of which the second to fourth word are `tcp`.
    #[inline(always)]
    fn behind(self, header: u32, tcp: [u32; 3]) -> Content {
        const SYN: u32 = 2;
        let [sequence, acknowledged, rest] = tcp;
        let [offset, flags, ..] = rest.to_ne_bytes();
        let at = header + u32::from(offset >> 4) * 4;
        let length = self.length().wrapping_sub(at);
        if length == 0 || length > LENGTH_MAX {
            return Content::Nothing;
        }
        // A SYN takes a number of its own (TCP Fast Open has data behind it).
        let syn = (u32::from(flags) & SYN) / SYN;
        Content::Payload(Payload {
            at,
            length,
            sequence: u32::from_be(sequence).wrapping_add(syn),
            acknowledged: u32::from_be(acknowledged),
        })
    }

    /// The first `BYTES` of the packet; `None`: they do not stand in one piece, as the headers of TCP do by the time that a
    /// socket's hook runs.
    #[inline(always)]
    fn front_bytes<const BYTES: usize>(self) -> Option<Front<BYTES>> {
        // SAFETY: fields of the context.
        let data = unsafe { load_packet_pointer::<{ offset_of!(__sk_buff, data) }, _>(self.0) };
        // SAFETY: as above.
        let end = unsafe { load_packet_pointer::<{ offset_of!(__sk_buff, data_end) }, _>(self.0) };
        (data.wrapping_add(BYTES) <= end).then_some(Front(data))
    }

    /// The ends of the segment with this payload.
    #[inline(always)]
    pub(crate) fn segment(self, payload: Payload) -> Option<Segment> {
        let is_v4 = self.version() == IPV4;
        let header = if is_v4 {
            let [first] = self.words::<1>(0)?;
            u32::from(first.to_ne_bytes()[0] & 0xf) * 4
        } else {
            V6_HEADER
        };
        let [ports] = self.words::<1>(header)?;
        let (source, destination) = if is_v4 {
            let [source, destination] = self.words::<2>(V4_ADDRESSES)?;
            (
                Address::from_v4(source.to_ne_bytes()),
                Address::from_v4(destination.to_ne_bytes()),
            )
        } else {
            let words = self.words::<8>(V6_ADDRESSES)?;
            (
                Address {
                    words: [words[0], words[1], words[2], words[3]],
                },
                Address {
                    words: [words[4], words[5], words[6], words[7]],
                },
            )
        };
        let [a, b, c, d] = ports.to_ne_bytes();
        Some(Segment {
            payload,
            source: SocketAddress::from_parts(source, [a, b]),
            destination: SocketAddress::from_parts(destination, [c, d]),
        })
    }

    /// The ethertype.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an ethertype")]
    fn version(self) -> u32 {
        let protocol = self.word::<{ offset_of!(__sk_buff, protocol) }>();
        u32::from(u16::from_be(bound::<0xffff>(protocol) as u16))
    }
}
