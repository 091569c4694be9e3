//! What the meter makes of a field: a slot of the dynamic table.

use super::block::Content;
use super::digest;
use super::name::Name;

/// Entries of the static table.
pub(super) const STATIC_ENTRIES: u32 = 61;

/// The digests of the static table's paths, which need no key.
const PATH_ROOT: u64 = 4;
const PATH_INDEX: u64 = 5;

/// What the meter makes of a field: a name, and 56 bits.
#[derive(Clone, Copy)]
pub(super) struct Entry(pub(super) u64);

impl Entry {
    /// The greatest value.
    pub(super) const VALUE_MAX: u64 = (1 << digest::DIGEST_BITS) - 1;

    /// The entry of the static table (RFC 7541 appendix A).
    #[inline(always)]
    pub(super) const fn from_static(index: u32) -> Self {
        let value = match index {
            4 => PATH_ROOT,
            5 => PATH_INDEX,
            8 => 200,
            9 => 204,
            10 => 206,
            11 => 304,
            12 => 400,
            13 => 404,
            14 => 500,
            31 => Content::Other as u64,
            _ => 0,
        };
        Self::new(Name::from_static(index), value)
    }

    #[inline(always)]
    pub(super) const fn new(name: Name, value: u64) -> Self {
        Self(((name as u64) << digest::DIGEST_BITS) | (value & Self::VALUE_MAX))
    }

    #[inline(always)]
    pub(super) const fn name(self) -> u32 {
        (self.0 >> digest::DIGEST_BITS) as u32
    }

    #[inline(always)]
    pub(super) const fn value(self) -> u64 {
        self.0 & Self::VALUE_MAX
    }
}

/// `application/grpc`, raw: eight bytes and eight bytes.
const GRPC_RAW: [u64; 2] = [
    u64::from_le_bytes(*b"applicat"),
    u64::from_le_bytes(*b"ion/grpc"),
];
/// The same Huffman-coded: exactly eleven bytes, so that what follows begins a byte of its own.
const GRPC_HUFFMAN: [u64; 2] = [
    u64::from_le_bytes([0x1d, 0x75, 0xd0, 0x62, 0x0d, 0x26, 0x3d, 0x4c]),
    0x64_654d,
];
const GRPC_HUFFMAN_BYTES: u32 = 11;

/// What a `content-type` of `length` encoded bytes says: `application/grpc` alone, or with `+` or `;` behind
/// (`PROTOCOL-HTTP2.md`); gRPC-Web is none, its status stands in the body.
#[inline(always)]
pub(super) fn content_type(
    head: [u64; 2],
    behind_head: u32,
    length: u32,
    is_huffman: bool,
) -> Content {
    let is_grpc = if is_huffman {
        // '+' has eleven bits, 11111111 011; ';' has eight, 11111011.
        let behind = (head[1] >> 24) & 0xffff;
        head[0] == GRPC_HUFFMAN[0]
            && head[1] & 0xff_ffff == GRPC_HUFFMAN[1]
            && (length == GRPC_HUFFMAN_BYTES || behind & 0xe0ff == 0x60ff || behind & 0xff == 0xfb)
    } else {
        let behind = behind_head & 0xff;
        head[0] == GRPC_RAW[0]
            && head[1] == GRPC_RAW[1]
            && (length == 16 || behind == u32::from(b'+') || behind == u32::from(b';'))
    };
    if is_grpc {
        Content::Grpc
    } else {
        Content::Other
    }
}
