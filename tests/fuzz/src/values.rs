//! What header values mean, read as text.

use mesh_common::meter::{Content, UNKNOWN};

/// A string as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Coded {
    /// Whether in Huffman codes.
    pub is_huffman: bool,
    /// The encoded bytes.
    pub bytes: Vec<u8>,
}

/// What a path is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// An entry of the static table.
    Static(usize),
    /// A literal, now or before.
    Literal(Coded),
}

/// What a block says, as far as a meter cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// What the last `:path` is known by.
    pub path: Option<Identity>,
    /// Its encoded bytes if this block has them, cut.
    pub path_text: Option<Coded>,
    /// `:status`.
    pub http_status: u32,
    /// `grpc-status`.
    pub grpc_status: u32,
    /// `grpc-timeout`.
    pub timeout_us: u64,
    /// `content-type`.
    pub content: u32,
    /// The last `traceparent`, if it is the newest that was spelt out on the connection.
    pub trace_parent: Option<Coded>,
    /// Fields in all.
    pub count: usize,
}

impl Fields {
    /// Says nothing.
    pub const NONE: Self = Self {
        path: None,
        path_text: None,
        http_status: UNKNOWN,
        grpc_status: UNKNOWN,
        timeout_us: 0,
        content: Content::Unknown as u32,
        trace_parent: None,
        count: 0,
    };
}

/// A number of one to three digits.
pub(crate) fn number(text: &[u8]) -> u32 {
    let is_number = (1..=3).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| is_number);
    text.and_then(|text| text.parse().ok()).unwrap_or(UNKNOWN)
}

/// Microseconds, at least one, at most what 56 bits hold; zero if it is none.
pub(crate) fn timeout_us(text: &[u8]) -> u64 {
    let Some((&unit, digits)) = text.split_last() else {
        return 0;
    };
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let number = digits.iter().fold(0, |number: u128, digit| {
        number * 10 + u128::from(digit - b'0')
    });
    let unit_ns = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => 0,
    };
    let timeout_ns = number * unit_ns;
    if timeout_ns == 0 {
        return 0;
    }
    let greatest = (1 << 56) - 1;
    u64::try_from(timeout_ns / 1_000).map_or(greatest, |us| us.clamp(1, greatest))
}

/// Whether it is gRPC.
pub(crate) fn content(text: &[u8]) -> u32 {
    let is_grpc = text
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    let content = if is_grpc {
        Content::Grpc
    } else {
        Content::Other
    };
    content as u32
}
