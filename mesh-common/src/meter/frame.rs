//! The head of a frame (RFC 9113 section 4.1 and 6), and what comes before the first.

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const PREFACE_WORDS: [u64; 3] = [
    u64::from_le_bytes(*b"PRI * HT"),
    u64::from_le_bytes(*b"TP/2.0\r\n"),
    u64::from_le_bytes(*b"\r\nSM\r\n\r\n"),
];

/// Bytes of a frame's head.
pub const HEAD_BYTES: u32 = 9;

/// Types of frames.
pub(super) mod frame_type {
    pub(in crate::meter) const DATA: u32 = 0;
    pub(in crate::meter) const HEADERS: u32 = 1;
    pub(in crate::meter) const PRIORITY: u32 = 2;
    pub(in crate::meter) const RST_STREAM: u32 = 3;
    pub(in crate::meter) const SETTINGS: u32 = 4;
    pub(in crate::meter) const PUSH_PROMISE: u32 = 5;
    pub(in crate::meter) const PING: u32 = 6;
    pub(in crate::meter) const GOAWAY: u32 = 7;
    pub(in crate::meter) const WINDOW_UPDATE: u32 = 8;
    pub(in crate::meter) const CONTINUATION: u32 = 9;

    /// Whether frames of this type must name a stream.
    #[inline(always)]
    pub(in crate::meter) const fn is_of_a_stream(kind: u32) -> bool {
        matches!(
            kind,
            DATA | HEADERS | RST_STREAM | PUSH_PROMISE | CONTINUATION
        )
    }
}

/// Flags of frames.
pub(super) mod flag {
    pub(in crate::meter) const END_STREAM: u32 = 0x1;
    pub(in crate::meter) const END_HEADERS: u32 = 0x4;
    pub(in crate::meter) const PADDED: u32 = 0x8;
    pub(in crate::meter) const PRIORITY: u32 = 0x20;
}

/// Whether the nine bytes (the first eight as a little-endian number) can be the head of a frame that a gRPC peer sends.
#[inline(always)]
#[must_use]
pub const fn is_plausible_head(first: u64, ninth: u8) -> bool {
    let head = Head::new(first, ninth);
    if head.length > 16_384 || (first >> 40) & 0x80 != 0 {
        return false;
    }
    match head.kind {
        frame_type::DATA => head.stream != 0 && head.flags & !0x9 == 0,
        frame_type::HEADERS => head.stream & 1 == 1 && head.flags & !0x2d == 0,
        frame_type::CONTINUATION => head.stream & 1 == 1 && head.flags & !0x4 == 0,
        frame_type::PRIORITY => head.stream != 0 && head.length == 5 && head.flags == 0,
        frame_type::RST_STREAM => head.stream != 0 && head.length == 4 && head.flags == 0,
        frame_type::SETTINGS => {
            head.stream == 0 && head.length.is_multiple_of(6) && head.flags & !1 == 0
        }
        frame_type::PING => head.stream == 0 && head.length == 8 && head.flags & !1 == 0,
        frame_type::GOAWAY => head.stream == 0 && head.length >= 8 && head.flags == 0,
        frame_type::WINDOW_UPDATE => head.length == 4 && head.flags == 0,
        _ => false,
    }
}

/// The head of a frame (RFC 9113 section 4.1).
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) stream: u32,
}

impl Head {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "takes bytes out of a word")]
    pub(super) const fn new(first: u64, ninth: u8) -> Self {
        let network = first.swap_bytes();
        Self {
            length: (network >> 40) as u32,
            kind: (network >> 32) as u32 & 0xff,
            flags: (network >> 24) as u32 & 0xff,
            stream: (((network as u32) << 8) | ninth as u32) & 0x7fff_ffff,
        }
    }
}
