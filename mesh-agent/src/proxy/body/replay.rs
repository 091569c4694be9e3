//! What was sent of a request, kept until nobody can ask for it once more.

use bytes::Bytes;

/// Bytes of a request's body that are kept (issue 5; gRFC A6 leaves it to the implementation).
pub(super) const REPLAY_BYTES_MAX: usize = 64 << 10;

/// Data kept for other tries. Kept pieces share the memory of what was received.
#[derive(Debug)]
pub(super) struct Replay {
    pieces: Vec<Bytes>,
    bytes: usize,
    is_kept: bool,
}

impl Replay {
    pub(super) const fn new() -> Self {
        Self {
            pieces: vec![],
            bytes: 0,
            is_kept: true,
        }
    }

    /// Keeps a piece. If that is too much, nothing is kept any more.
    pub(super) fn keep(&mut self, piece: &Bytes) {
        if !self.is_kept {
            return;
        }
        self.bytes += piece.len();
        if self.bytes > REPLAY_BYTES_MAX {
            self.forget();
            return;
        }
        self.pieces.push(piece.clone());
    }

    /// Lets go of everything: there will be no other try.
    pub(super) fn forget(&mut self) {
        self.is_kept = false;
        self.pieces = vec![];
    }

    /// Whether everything that was received is still there.
    pub(super) const fn is_complete(&self) -> bool {
        self.is_kept
    }

    /// The piece at this place.
    pub(super) fn piece(&self, place: usize) -> Option<&Bytes> {
        self.pieces.get(place)
    }

    /// Pieces kept.
    pub(super) const fn len(&self) -> usize {
        self.pieces.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{REPLAY_BYTES_MAX, Replay};
    use bytes::Bytes;

    #[test]
    fn what_is_more_than_the_buffer_is_not_kept_at_all() {
        let mut replay = Replay::new();
        replay.keep(&Bytes::from(vec![0; REPLAY_BYTES_MAX]));
        assert!(replay.is_complete());
        assert_eq!(replay.len(), 1);

        replay.keep(&Bytes::from_static(b"x"));
        assert!(!replay.is_complete());
        assert!(replay.piece(0).is_none());
    }
}
