//! What was taken of a request, kept until nobody can ask for it once more.

use bytes::Bytes;

/// Bytes of a request's body that are kept (gRFC A6 leaves it to the implementation).
const REPLAY_BYTES_MAX: usize = 64 << 10;

/// Data kept for other tries: a copy, since what was received shares memory with much else.
#[derive(Debug)]
pub(super) struct Replay {
    data: Vec<u8>,
    is_kept: bool,
}

impl Replay {
    pub(super) const fn new() -> Self {
        Self {
            data: vec![],
            is_kept: true,
        }
    }

    /// Keeps a piece. If that is too much, nothing is kept any more.
    pub(super) fn keep(&mut self, piece: &[u8]) {
        if !self.is_kept {
            return;
        }
        if self.data.len() + piece.len() > REPLAY_BYTES_MAX {
            self.forget();
            return;
        }
        self.data.extend_from_slice(piece);
    }

    /// Lets go of everything: there will be no other try.
    pub(super) fn forget(&mut self) {
        self.is_kept = false;
        self.data = vec![];
    }

    /// Whether everything that was taken is still there.
    pub(super) const fn is_complete(&self) -> bool {
        self.is_kept
    }

    /// All of it, to be sent once more.
    pub(super) fn again(&self) -> Bytes {
        Bytes::copy_from_slice(&self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::{REPLAY_BYTES_MAX, Replay};

    #[test]
    fn what_is_more_than_the_buffer_is_not_kept_at_all() {
        let mut replay = Replay::new();
        replay.keep(&vec![0; REPLAY_BYTES_MAX - 1]);
        replay.keep(&[7]);
        assert!(replay.is_complete());
        assert_eq!(replay.again().len(), REPLAY_BYTES_MAX);

        replay.keep(b"x");
        assert!(!replay.is_complete());
        assert!(replay.again().is_empty());
    }
}
