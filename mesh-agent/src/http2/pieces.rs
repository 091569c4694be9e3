//! Body in the order it came, as it came: pieces that are worth it are not copied, and many small ones are put together.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Pieces from here on stay as they are: keeping one costs less than copying it.
const WHOLE_BYTES_MIN: usize = 4 << 10;

/// Data that waits to be passed on. However small a peer's frames are, it takes little more memory than their bytes.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Empty only if nothing waits.
    front: Bytes,
    next: VecDeque<Bytes>,
    /// What comes after all others.
    small: BytesMut,
    /// Bytes behind the front.
    rest_bytes: usize,
}

impl Pieces {
    /// Puts data at the end.
    pub fn push(&mut self, data: Bytes) {
        if self.is_empty() {
            self.front = data;
            return;
        }
        self.rest_bytes += data.len();
        if data.len() < WHOLE_BYTES_MIN {
            self.small.extend_from_slice(&data);
            return;
        }
        if !self.small.is_empty() {
            self.next.push_back(self.small.split().freeze());
        }
        self.next.push_back(data);
    }

    /// Takes the first piece; empty: there is none.
    pub fn take(&mut self) -> Bytes {
        let next = self.next.pop_front();
        let next = next.unwrap_or_else(|| self.small.split().freeze());
        self.rest_bytes -= next.len();
        std::mem::replace(&mut self.front, next)
    }

    /// The first piece, of which some may be taken off its front; [`Pieces::advance`] follows when it is empty.
    pub const fn front(&mut self) -> &mut Bytes {
        &mut self.front
    }

    /// Goes on to the next piece, if the first one is empty.
    pub fn advance(&mut self) {
        if self.front.is_empty() {
            drop(self.take());
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.front.len() + self.rest_bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes behind the first piece.
    #[must_use]
    pub const fn rest_len(&self) -> usize {
        self.rest_bytes
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_comes_out_once_and_in_order(
            pushed in prop::collection::vec((prop_oneof![1_usize..20, 4_000_usize..5_000], 0_usize..6_000, any::<bool>()), 0..20),
        ) {
            let mut pieces = Pieces::default();
            let (mut all, mut out): (Vec<u8>, Vec<u8>) = (vec![], vec![]);
            for (number, (length, taken, is_whole)) in pushed.into_iter().enumerate() {
                let piece = vec![u8::try_from(number).unwrap(); length];
                all.extend(&piece);
                pieces.push(Bytes::from(piece));
                if is_whole {
                    out.extend(pieces.take());
                } else {
                    let mut left = taken;
                    while left > 0 && !pieces.is_empty() {
                        let front = pieces.front();
                        let part = front.split_to(left.min(front.len()));
                        left -= part.len();
                        out.extend(part);
                        pieces.advance();
                    }
                }
                prop_assert_eq!(pieces.len(), all.len() - out.len());
                prop_assert_eq!(pieces.front().is_empty(), pieces.is_empty());
                prop_assert_eq!(pieces.rest_len(), pieces.len() - pieces.front().len());
            }
            while !pieces.is_empty() {
                out.extend(pieces.take());
            }
            prop_assert_eq!(out, all);
        }
    }
}
