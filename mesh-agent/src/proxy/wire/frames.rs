//! The heads of the frames in a byte stream, read as it passes (RFC 9113, 4.1).

/// Bytes of a frame's head.
const HEAD_BYTES: usize = 9;

/// Bytes of a GOAWAY that are kept: last stream, error code, and `too_many_pings` in full.
const GO_AWAY_BYTES: usize = 24;

/// Types of frames that somebody looks at.
pub(super) mod kind {
    pub(in crate::proxy::wire) const DATA: u8 = 0;
    pub(in crate::proxy::wire) const HEADERS: u8 = 1;
    pub(in crate::proxy::wire) const RST_STREAM: u8 = 3;
    pub(in crate::proxy::wire) const SETTINGS: u8 = 4;
    pub(in crate::proxy::wire) const PING: u8 = 6;
    pub(in crate::proxy::wire) const GO_AWAY: u8 = 7;
}

/// ACK of SETTINGS and PING.
const FLAG_ACK: u8 = 1;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Its type.
    pub(super) kind: u8,
    /// Its flags.
    pub(super) flags: u8,
    /// Its stream; 0: the connection.
    pub(super) stream: u32,
}

impl FrameHead {
    /// Whether it acknowledges a SETTINGS or PING.
    pub(super) const fn is_ack(self) -> bool {
        self.flags & FLAG_ACK != 0
    }
}

/// Something seen in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<'p> {
    /// A frame has begun.
    Frame(FrameHead),
    /// A GOAWAY is complete: the first bytes of its payload.
    GoAway(&'p [u8]),
}

/// Follows one direction of a connection. Never fails: what is no HTTP/2 is for its reader to refuse.
#[derive(Debug)]
pub(super) struct FrameScan {
    head: [u8; HEAD_BYTES],
    head_filled: usize,
    /// Payload bytes that are still to pass.
    payload_left: usize,
    go_away: [u8; GO_AWAY_BYTES],
    go_away_filled: usize,
    is_go_away: bool,
}

impl FrameScan {
    /// Starts at the connection's first byte; `preface_bytes` of it are no frames.
    pub(super) const fn new(preface_bytes: usize) -> Self {
        Self {
            head: [0; HEAD_BYTES],
            head_filled: 0,
            payload_left: preface_bytes,
            go_away: [0; GO_AWAY_BYTES],
            go_away_filled: 0,
            is_go_away: false,
        }
    }

    /// Looks at the next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut see: impl FnMut(Seen<'_>)) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                bytes = self.pass(bytes);
                if self.payload_left == 0 && self.is_go_away {
                    self.is_go_away = false;
                    see(Seen::GoAway(&self.go_away[..self.go_away_filled]));
                }
                continue;
            }
            let taken = bytes.len().min(HEAD_BYTES - self.head_filled);
            let (now, rest) = bytes.split_at(taken);
            self.head[self.head_filled..self.head_filled + taken].copy_from_slice(now);
            self.head_filled += taken;
            bytes = rest;
            if self.head_filled == HEAD_BYTES {
                self.head_filled = 0;
                see(Seen::Frame(self.begin()));
            }
        }
    }

    fn begin(&mut self) -> FrameHead {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        self.payload_left = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        self.is_go_away = kind == kind::GO_AWAY;
        self.go_away_filled = 0;
        FrameHead {
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    fn pass<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (now, rest) = bytes.split_at(bytes.len().min(self.payload_left));
        self.payload_left -= now.len();
        if self.is_go_away {
            let free = &mut self.go_away[self.go_away_filled..];
            let kept = free.len().min(now.len());
            free[..kept].copy_from_slice(&now[..kept]);
            self.go_away_filled += kept;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameScan, Seen, kind};
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn seen(scan: &mut FrameScan, bytes: &[u8]) -> Vec<String> {
        let mut all = vec![];
        scan.feed(bytes, |seen| all.push(format!("{seen:?}")));
        all
    }

    #[test]
    fn a_go_away_is_seen_when_it_is_complete() {
        let payload = [&[0, 0, 0, 5, 0, 0, 0, 11], &b"too_many_pings and more"[..]].concat();
        let bytes = frame(kind::GO_AWAY, 0, 0, &payload);
        let mut scan = FrameScan::new(0);
        let (most, last) = bytes.split_at(bytes.len() - 1);

        assert_eq!(seen(&mut scan, most).len(), 1, "its head");
        scan.feed(last, |seen| {
            assert_eq!(seen, Seen::GoAway(&payload[..24]));
        });
    }

    proptest! {
        #[test]
        fn cutting_the_stream_changes_nothing(
            frames in prop::collection::vec((0_u8..10, any::<u8>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cuts in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let mut bytes = vec![0; 24];
            for (kind, flags, stream, payload) in &frames {
                bytes.extend(frame(*kind, *flags, *stream, payload));
            }
            let whole = seen(&mut FrameScan::new(24), &bytes);
            let mut scan = FrameScan::new(24);
            let mut pieces = vec![];
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, after) = rest.split_at(rest.len().min(*cut));
                pieces.extend(seen(&mut scan, now));
                rest = after;
            }
            prop_assert_eq!(&whole, &pieces);
            let heads = whole.iter().filter(|seen| seen.starts_with("Frame")).count();
            prop_assert_eq!(heads, frames.len());
        }
    }
}
