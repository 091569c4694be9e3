//! Frames: their heads, types and flags (RFC 9113, 4 and 6).

use bytes::{BufMut, BytesMut};

/// Bytes of a frame's head.
pub(super) const HEAD_BYTES: usize = 9;

/// Payload bytes of a frame that every peer takes (RFC 9113, 4.2).
pub(super) const PAYLOAD_BYTES_LEAST: usize = 16_384;

/// What a client sends first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub(super) mod kind {
    pub(in crate::http2) const DATA: u8 = 0;
    pub(in crate::http2) const HEADERS: u8 = 1;
    pub(in crate::http2) const PRIORITY: u8 = 2;
    pub(in crate::http2) const RST_STREAM: u8 = 3;
    pub(in crate::http2) const SETTINGS: u8 = 4;
    pub(in crate::http2) const PUSH_PROMISE: u8 = 5;
    pub(in crate::http2) const PING: u8 = 6;
    pub(in crate::http2) const GO_AWAY: u8 = 7;
    pub(in crate::http2) const WINDOW_UPDATE: u8 = 8;
    pub(in crate::http2) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(super) mod flag {
    pub(in crate::http2) const ACK: u8 = 0x1;
    pub(in crate::http2) const END_STREAM: u8 = 0x1;
    pub(in crate::http2) const END_HEADERS: u8 = 0x4;
    pub(in crate::http2) const PADDED: u8 = 0x8;
    pub(in crate::http2) const PRIORITY: u8 = 0x20;
}

/// Settings (RFC 9113, 6.5.2).
pub(super) mod setting {
    pub(in crate::http2) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::http2) const ENABLE_PUSH: u16 = 2;
    pub(in crate::http2) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in crate::http2) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in crate::http2) const MAX_FRAME_SIZE: u16 = 5;
    pub(in crate::http2) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of its payload, less than 2^24.
    pub(super) length: usize,
    /// Its type.
    pub(super) kind: u8,
    /// Its flags.
    pub(super) flags: u8,
    /// Its stream; 0: the connection.
    pub(super) stream: u32,
}

impl FrameHead {
    /// Reads a head; `None`: some of it has not come.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        Some(Self {
            length: usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2),
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    /// Its bytes.
    pub(super) fn bytes(self) -> [u8; HEAD_BYTES] {
        let [_, .., l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    /// Writes it.
    pub(super) fn write(self, to: &mut BytesMut) {
        to.put_slice(&self.bytes());
    }

    /// Whether it has a flag.
    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A frame's payload without padding (RFC 9113, 6.1); `None`: more padding than payload.
pub(super) fn unpadded(head: FrameHead, payload: &[u8]) -> Option<std::ops::Range<usize>> {
    if !head.has(flag::PADDED) {
        return Some(0..payload.len());
    }
    let padding = usize::from(*payload.first()?);
    let end = payload.len().checked_sub(padding)?;
    (end >= 1).then_some(1..end)
}

/// A number of 31 bits at the start of a payload of four bytes or more.
pub(super) fn number31(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::{FrameHead, flag, kind, unpadded};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_is_read_as_it_was_written(
            length in 0_usize..1 << 24, kind: u8, flags: u8, stream in 0_u32..1 << 31,
        ) {
            let head = FrameHead { length, kind, flags, stream };
            prop_assert_eq!(FrameHead::read(&head.bytes()), Some(head));
            prop_assert_eq!(FrameHead::read(&head.bytes()[..8]), None);
        }
    }

    #[test]
    fn padding_is_at_most_what_follows_its_length() {
        let head = FrameHead {
            length: 4,
            kind: kind::DATA,
            flags: flag::PADDED,
            stream: 1,
        };
        for (payload, expected) in [
            (&[0, 7, 8, 9][..], Some(1..4)),
            (&[3, 7, 8, 9], Some(1..1)),
            (&[4, 7, 8, 9], None),
            (&[0], Some(1..1)),
            (&[], None),
        ] {
            assert_eq!(unpadded(head, payload), expected, "{payload:?}");
        }
    }
}
