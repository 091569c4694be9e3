//! What a connection has to send, in order: small frames side by side in one piece of memory, large bodies as they came.

use super::frame::FrameHead;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Payloads from here on are not copied: a piece of its own costs more than copying less.
const UNCOPIED_BYTES_MIN: usize = 4 << 10;

/// Memory for small frames, at first.
const TAIL_BYTES: usize = 2 << 10;

/// Bytes on their way to the socket.
#[derive(Debug, Default)]
pub struct Output {
    /// What comes before the tail.
    chunks: VecDeque<Bytes>,
    chunk_bytes: usize,
    /// What frames are added to.
    tail: BytesMut,
    /// Bytes that have gone to the socket.
    sent: u64,
}

impl Output {
    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What waits first: at most as many slices as there is room for. Returns how many.
    pub fn slices<'o>(&'o self, to: &mut [IoSlice<'o>]) -> usize {
        let tail = Some(&self.tail[..]).filter(|tail| !tail.is_empty());
        let all = self.chunks.iter().map(|chunk| &chunk[..]).chain(tail);
        let mut filled = 0;
        for (place, slice) in to.iter_mut().zip(all) {
            *place = IoSlice::new(slice);
            filled += 1;
        }
        filled
    }

    /// So many bytes have gone to the socket.
    pub fn advance(&mut self, mut bytes: usize) {
        self.sent += bytes as u64;
        while let Some(front) = self.chunks.front_mut() {
            if bytes < front.len() {
                front.advance(bytes);
                self.chunk_bytes -= bytes;
                return;
            }
            bytes -= front.len();
            self.chunk_bytes -= front.len();
            self.chunks.pop_front();
        }
        self.tail.advance(bytes.min(self.tail.len()));
        if self.tail.is_empty() {
            // An idle connection holds nothing.
            *self = Self {
                sent: self.sent,
                ..Self::default()
            };
        }
    }

    /// Where the next byte stands in all that is ever sent.
    pub(super) fn position(&self) -> u64 {
        self.sent + self.len() as u64
    }

    /// Whether the byte at a position has gone to the socket.
    pub(super) const fn has_sent(&self, position: u64) -> bool {
        position < self.sent
    }

    /// Where small frames are written.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        if self.tail.capacity() == 0 {
            self.tail.reserve(TAIL_BYTES);
        }
        &mut self.tail
    }

    /// Adds a frame with its payload.
    pub(super) fn frame(&mut self, head: FrameHead, payload: &[u8]) {
        let tail = self.tail();
        head.write(tail);
        tail.extend_from_slice(payload);
    }

    /// The same for a payload that may be large.
    pub(super) fn shared_frame(&mut self, head: FrameHead, payload: Bytes) {
        if payload.len() < UNCOPIED_BYTES_MIN {
            self.frame(head, &payload);
            return;
        }
        head.write(self.tail());
        let before = self.tail.split().freeze();
        self.chunk_bytes += before.len() + payload.len();
        self.chunks.push_back(before);
        self.chunks.push_back(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{FrameHead, kind};
    use super::Output;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::io::IoSlice;

    proptest! {
        #[test]
        fn bytes_come_out_once_and_in_order_however_the_socket_takes_them(
            payloads in prop::collection::vec(0_usize..9_000, 1..12),
            takes in prop::collection::vec(1_usize..10_000, 1..12),
        ) {
            let mut output = Output::default();
            let mut expected = vec![];
            for (number, length) in payloads.into_iter().enumerate() {
                let head = FrameHead { length, kind: kind::DATA, flags: 0, stream: 1 };
                let payload = vec![u8::try_from(number).unwrap(); length];
                expected.extend(head.bytes());
                expected.extend(&payload);
                output.shared_frame(head, Bytes::from(payload));
                prop_assert_eq!(output.position(), expected.len() as u64);
            }
            let mut out: Vec<u8> = vec![];
            for take in takes.iter().cycle() {
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = output.slices(&mut slices);
                if filled == 0 {
                    break;
                }
                let all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = all.len().min(*take);
                out.extend(&all[..taken]);
                output.advance(taken);
            }
            prop_assert!(output.is_empty());
            prop_assert_eq!(out, expected);
        }
    }
}
