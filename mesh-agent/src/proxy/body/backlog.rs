//! Data that waits for room on the way out.
//!
//! What comes while there is no room is put together: `h2` holds some hundred bytes for every frame that nobody takes, and ends
//! connections with too many of them, however small they are.

use bytes::{Bytes, BytesMut};

/// Data in the order it came. As much as the sender's window lets come, since nothing is released before it is sent.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// What is being sent.
    pub(super) front: Bytes,
    rest: BytesMut,
}

impl Backlog {
    /// Puts data at the end.
    pub(super) fn push(&mut self, data: Bytes) {
        if self.is_empty() {
            self.front = data;
        } else {
            self.rest.extend_from_slice(&data);
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.rest.is_empty()
    }

    /// Whether nothing follows the front.
    pub(super) fn is_front_last(&self) -> bool {
        self.rest.is_empty()
    }

    /// Makes what follows the front the next one. Only when the front is empty.
    pub(super) fn advance(&mut self) {
        self.front = self.rest.split().freeze();
    }

    /// Bytes that follow the front.
    pub(super) fn rest_len(&self) -> usize {
        self.rest.len()
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::Backlog;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_comes_out_once_and_in_order(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..20), 0_usize..30), 0..20),
        ) {
            let mut backlog = Backlog::default();
            let mut out = vec![];
            let mut take = |backlog: &mut Backlog, count: usize| {
                let mut left = count;
                while left > 0 && !backlog.is_empty() {
                    if backlog.front.is_empty() {
                        backlog.advance();
                    }
                    let part = backlog.front.split_to(left.min(backlog.front.len()));
                    left -= part.len();
                    out.extend_from_slice(&part);
                }
            };
            for (piece, taken) in &pieces {
                backlog.push(Bytes::from(piece.clone()));
                take(&mut backlog, *taken);
            }
            take(&mut backlog, usize::MAX);
            prop_assert!(backlog.is_empty());
            let all: Vec<u8> = pieces.into_iter().flat_map(|(piece, _)| piece).collect();
            prop_assert_eq!(out, all);
        }
    }
}
