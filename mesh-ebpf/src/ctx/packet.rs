//! The context of `cgroup_skb`: a packet from its IP header on, and the socket that sends or receives it.

use super::Socket;
use super::field::{load_pointer, load_word};
use crate::maps::metering;
use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skb_load_bytes};
use aya_ebpf::programs::SkBuffContext;
use core::mem::{MaybeUninit, offset_of};
use mesh_common::address::{Address, SocketAddress};
use mesh_common::meter::count::Skip;
use mesh_common::meter::{bound, zero};

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TCP: u32 = 6;

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
    /// Where the TCP header begins.
    header: u32,
}

impl Payload {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        at: 0,
        length: 0,
        sequence: 0,
        acknowledged: 0,
        header: 0,
    };
}

/// A segment and its two ends.
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

    /// The payload of the TCP segment; `None`: another protocol, which is counted if the socket `is_metered`, or no payload.
    #[inline(always)]
    pub(crate) fn payload(self, is_metered: bool) -> Option<Payload> {
        match self.version() {
            IPV4 => {
                let header = self.words::<{ (V4_HEADER + TCP_HEADER) as usize / 4 }>(0)?;
                if byte::<9>(&header) != TCP {
                    return not_tcp(is_metered);
                }
                let bytes = (byte::<0>(&header) & 0xf) * 4;
                if bytes == V4_HEADER {
                    return self.behind(bytes, [header[5], header[6], header[7], header[8]]);
                }
                self.behind(bytes, self.words::<4>(bytes)?)
            }
            IPV6 => {
                let header = self.words::<{ (V6_HEADER + TCP_HEADER) as usize / 4 }>(0)?;
                // No extension header: none is usual in front of TCP.
                if byte::<6>(&header) != TCP {
                    return not_tcp(is_metered);
                }
                self.behind(V6_HEADER, [header[10], header[11], header[12], header[13]])
            }
            _ => None,
        }
    }

    /// The payload behind a TCP header, of which the first four words are `tcp`.
    #[inline(always)]
    fn behind(self, header: u32, tcp: [u32; 4]) -> Option<Payload> {
        const SYN: u32 = 2;
        let at = header + (byte::<12>(&tcp) >> 4) * 4;
        let length = self.length().wrapping_sub(at);
        if length == 0 || length > LENGTH_MAX {
            return None;
        }
        // A SYN takes a number of its own (TCP Fast Open has data behind it).
        let syn = (byte::<13>(&tcp) & SYN) / SYN;
        Some(Payload {
            at,
            length,
            sequence: u32::from_be(tcp[1]).wrapping_add(syn),
            acknowledged: u32::from_be(tcp[2]),
            header,
        })
    }

    /// The ends of the segment with this payload.
    #[inline(always)]
    pub(crate) fn segment(self, payload: Payload) -> Option<Segment> {
        let [ports] = self.words::<1>(payload.header)?;
        let (source, destination) = if self.version() == IPV4 {
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

#[inline(always)]
fn not_tcp(is_metered: bool) -> Option<Payload> {
    if is_metered {
        metering::skipped(Skip::Packet);
    }
    None
}

/// The byte at `AT` of what stands in `words`.
#[inline(always)]
fn byte<const AT: usize>(words: &[u32]) -> u32 {
    u32::from(words[AT / 4].to_ne_bytes()[AT % 4])
}
