//! The header names that the meter knows.

use super::digest;

/// The longest encoded name that the meter knows: `grpc-timeout`, raw.
pub(super) const NAME_BYTES_MAX: u32 = 12;

/// A header name, as far as the meter cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Name {
    /// Any other.
    Other = 0,
    /// `:path`.
    Path = 1,
    /// `:status`.
    HttpStatus = 2,
    /// `grpc-status`.
    GrpcStatus = 3,
    /// `content-type`.
    ContentType = 4,
    /// `grpc-timeout`.
    Timeout = 5,
    /// `traceparent`.
    TraceParent = 6,
    /// A reference to an entry that was inserted before the meter looked.
    Unknown = 7,
}

impl Name {
    #[inline(always)]
    pub(super) const fn from_u32(value: u32) -> Self {
        match value {
            1 => Self::Path,
            2 => Self::HttpStatus,
            3 => Self::GrpcStatus,
            4 => Self::ContentType,
            5 => Self::Timeout,
            6 => Self::TraceParent,
            7 => Self::Unknown,
            _ => Self::Other,
        }
    }

    /// The name in the static table (RFC 7541 appendix A).
    #[inline(always)]
    pub(super) const fn from_static(index: u32) -> Self {
        match index {
            4 | 5 => Self::Path,
            8..=14 => Self::HttpStatus,
            31 => Self::ContentType,
            _ => Self::Other,
        }
    }

    /// The name with this digest.
    #[inline(always)]
    pub(super) const fn from_digest(name: u64) -> Self {
        match name {
            PATH | PATH_HUFFMAN => Self::Path,
            HTTP_STATUS | HTTP_STATUS_HUFFMAN => Self::HttpStatus,
            GRPC_STATUS | GRPC_STATUS_HUFFMAN => Self::GrpcStatus,
            CONTENT_TYPE | CONTENT_TYPE_HUFFMAN => Self::ContentType,
            TIMEOUT | TIMEOUT_HUFFMAN => Self::Timeout,
            TRACE_PARENT | TRACE_PARENT_HUFFMAN => Self::TraceParent,
            _ => Self::Other,
        }
    }
}

const fn raw(name: &[u8]) -> u64 {
    digest::of(digest::name_key(), name, false)
}

const fn huffman(name: &[u8]) -> u64 {
    digest::of(digest::name_key(), name, true)
}

// The encodings are those of RFC 7541 appendix B; a test holds them against a full encoder.
const PATH: u64 = raw(b":path");
const PATH_HUFFMAN: u64 = huffman(&[0xb9, 0x58, 0xd3, 0x3f]);
const HTTP_STATUS: u64 = raw(b":status");
const HTTP_STATUS_HUFFMAN: u64 = huffman(&[0xb8, 0x84, 0x8d, 0x36, 0xa3]);
const GRPC_STATUS: u64 = raw(b"grpc-status");
const GRPC_STATUS_HUFFMAN: u64 = huffman(&[0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f]);
const CONTENT_TYPE: u64 = raw(b"content-type");
const CONTENT_TYPE_HUFFMAN: u64 = huffman(&[0x21, 0xea, 0x49, 0x6a, 0x4a, 0xc9, 0xf5, 0x59, 0x7f]);
const TIMEOUT: u64 = raw(b"grpc-timeout");
const TIMEOUT_HUFFMAN: u64 = huffman(&[0x9a, 0xca, 0xc8, 0xb2, 0x4d, 0x49, 0x4f, 0x6a, 0x7f]);
const TRACE_PARENT: u64 = raw(b"traceparent");
const TRACE_PARENT_HUFFMAN: u64 = huffman(&[0x4d, 0x83, 0x21, 0x6b, 0x1d, 0x85, 0xa9, 0x3f]);
