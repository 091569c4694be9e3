//! What the fields of one header block say.

use super::number;
use crate::wire::record;

/// Words of a path that are kept.
pub(super) const PATH_WORDS: usize = 20;

/// Bytes of an encoded path that are kept; longer ones are told apart, but shown cut.
pub const PATH_BYTES_MAX: u32 = 160;
const _: () = assert!(PATH_BYTES_MAX as usize == PATH_WORDS * 8);

/// Words of a `traceparent` that are kept: it has 55 characters.
pub(super) const TRACE_WORDS: usize = 7;

/// The value of a status field that was not there, or could not be read.
pub const UNKNOWN: u32 = u32::MAX;

/// What a `content-type` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Content {
    /// There was none, or it could not be known.
    Unknown = 0,
    /// `application/grpc` or one of its kinds.
    Grpc = 1,
    /// Anything else.
    Other = 2,
}

record! {
    /// What the fields of one header block said.
    pub struct Block, size 104 {
        /// Digest of the encoded `:path`; zero: none, or not known.
        pub path: u64,
        /// `grpc-timeout` in microseconds; zero: none.
        pub timeout_us: u64,
        /// The encoded `traceparent`, its bytes in order.
        pub trace_parent: [u64; TRACE_WORDS],
        /// Bytes of `trace_parent`, the highest bit set if they are Huffman-coded; zero: none.
        pub trace_parent_length: u32,
        /// Bytes of the encoded `:path` in [`super::Hpack::path`], the highest bit set if they are Huffman-coded; zero: this block
        /// named it by reference, or not at all.
        pub path_length: u32,
        /// `:status`, or [`UNKNOWN`].
        pub http_status: u32,
        /// `grpc-status`, or [`UNKNOWN`].
        pub grpc_status: u32,
        /// A [`Content`] as integer.
        pub content: u32,
        /// Fields that are references to what was inserted before the meter looked.
        pub unknown_references: u32,
        /// Fields in all.
        pub fields: u32,
        /// As `trace_parent_length`, of the last block that spelt one out: a later one may refer to it.
        pub(super) trace_parent_kept: u32,
    }
}

/// Marks a length as that of a Huffman-coded string.
pub const HUFFMAN_BIT: u32 = 1 << 31;

const _: () = assert!(number::NONE == UNKNOWN);
