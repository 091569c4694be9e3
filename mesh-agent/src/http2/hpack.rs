//! Header compression (RFC 7541): blocks of bytes as fields that are parsed once, and back.
//!
//! ```text
//! block ─► decoder ─ number, text (huffman) ─► field ─► fixed table, table of this connection ─► Field
//! field ─► encoder ─ hash ─► fixed table, places in the table of this connection ─► index, or number and text
//! ```

mod decoder;
mod encoder;
mod field;
mod fixed;
mod hash;
mod huffman;
mod number;
mod paths;
mod places;
mod table;
mod text;

pub use decoder::Decoder;
pub use encoder::{Encoder, Indexing};
pub use field::Field;

/// The most bytes that either table of a connection takes: what every peer allows from the start (RFC 9113, 6.5.2).
pub const TABLE_BYTES_MAX: usize = 4_096;

/// What every entry takes beside its texts (RFC 7541, 4.1; RFC 9113, 6.5.2).
const FIELD_BYTES: usize = 32;

/// A block that cannot be decoded: the connection's fault, of the kind `COMPRESSION_ERROR`, and nothing behind it can be either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It ends within a field.
    #[error("header block ends within a field")]
    Truncated,
    /// A number is larger or longer than any that makes sense.
    #[error("number in header block exceeds {}", number::MAX)]
    Number,
    /// A field or a name is referred to that is in neither table.
    #[error("header index {0} is in no table")]
    Index(usize),
    /// A text is not in the Huffman code, or its padding is not (RFC 7541, 5.2).
    #[error("huffman-coded text is malformed")]
    Huffman,
    /// The table is to grow beyond what was announced.
    #[error("header table of {0} bytes exceeds what was announced")]
    TableBytes(usize),
    /// The table is resized behind the first field (RFC 7541, 4.2).
    #[error("header table is resized behind a field")]
    LateResize,
}

#[cfg(test)]
mod tests;
