//! The meter: HTTP/2 framing and the structure of HPACK, over bytes that arrive in arbitrary pieces.
//!
//! ```text
//! bytes ─► Decoder (frames) ─► Hpack (fields of a block) ─► Event ─► whoever counts
//!              one step: one frame header, one field, or eight bytes of a string; DATA is skipped by arithmetic
//! ```
//!
//! The same code runs in the kernel, where `bpf_loop` drives [`Decoder::step`], and on the host, where [`feed()`] does. It
//! needs identities, not strings: a path is a keyed digest of its encoded bytes, and the dynamic table is a ring of what the
//! meter makes of each entry, addressed by order of insertion. Eviction and table size need no modelling, because a legal
//! reference is always to one of the newest 128 entries (RFC 7541 section 4.1: an entry takes at least 32 of 4,096 bytes).
//!
//! What cannot be known is said so ([`Mode`]), never guessed.

mod block;
mod bound;
mod buffer;
mod decoder;
mod digest;
mod entry;
mod event;
mod feed;
mod frame;
mod hpack;
mod mode;
mod name;
mod number;
mod status;

pub mod count;
pub mod held;
pub mod record;

pub use block::{Block, Content, HUFFMAN_BIT, PATH_BYTES_MAX, UNKNOWN};
pub use bound::{bound, zero, zero32};
pub use buffer::{BUFFER_BYTES, Buffer};
pub use decoder::Decoder;
pub use event::{Event, Step};
pub use feed::feed;
pub use frame::{HEAD_BYTES, PREFACE, is_plausible_head};
pub use hpack::Hpack;
pub use mode::Mode;
pub use status::{StatusCode, grpc_status, http_status, reset_status};

#[cfg(test)]
mod tests;
