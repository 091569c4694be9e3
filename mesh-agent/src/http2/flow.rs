//! Flow control (RFC 9113, 5.2 and 6.9).

/// The largest window.
pub(super) const WINDOW_MAX: i64 = (1 << 31) - 1;

/// The window of every stream and connection at first.
pub(super) const WINDOW_AT_FIRST: u32 = 65_535;

/// What a peer may still send.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    size: u32,
    /// Never more than `size`.
    left: u32,
    /// Passed on, and not yet announced.
    released: u32,
}

impl ReceiveWindow {
    pub(super) const fn new(size: u32) -> Self {
        Self {
            size,
            left: size,
            released: 0,
        }
    }

    /// The peer has sent so much. Whether it was allowed to.
    pub(super) fn take(&mut self, bytes: u32) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// So much was passed on. The increment that the peer is to be told of, once it is worth a frame.
    pub(super) fn release(&mut self, bytes: u32) -> Option<u32> {
        self.released = (self.released + bytes).min(self.size - self.left);
        if self.released < self.size / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.released);
        self.left += increment;
        Some(increment)
    }
}

/// What a peer still takes. Below zero after it has made its windows smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(i64);

impl SendWindow {
    pub(super) const fn new(size: u32) -> Self {
        Self(size as i64)
    }

    /// Bytes that may be sent.
    pub(super) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub_unsigned(bytes as u64);
    }

    /// Moves it. Whether it is a window still.
    pub(super) fn add(&mut self, increment: i64) -> bool {
        self.0 += increment;
        self.0 <= WINDOW_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::{ReceiveWindow, SendWindow, WINDOW_MAX};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_peer_never_gets_more_than_the_window(
            size in 1_u32..100_000,
            steps in prop::collection::vec((any::<bool>(), 0_u32..50_000), 0..50),
        ) {
            let mut window = ReceiveWindow::new(size);
            let (mut sent, mut held, mut announced) = (0_u64, 0_u32, u64::from(size));
            for (is_sent, bytes) in steps {
                if is_sent {
                    let is_allowed = sent + u64::from(bytes) <= announced;
                    prop_assert_eq!(window.take(bytes), is_allowed);
                    if is_allowed {
                        sent += u64::from(bytes);
                        held += bytes;
                    }
                } else {
                    let released = bytes.min(held);
                    held -= released;
                    announced += u64::from(window.release(released).unwrap_or(0));
                }
                prop_assert!(announced - sent + u64::from(held) <= u64::from(size));
            }
            let rest = window.release(held).unwrap_or(0);
            prop_assert!(announced + u64::from(rest) - sent > u64::from(size / 2) || size == 1, "never stuck");
        }
    }

    #[test]
    fn a_send_window_may_be_negative_and_must_not_overflow() {
        let mut window = SendWindow::new(10);
        window.take(10);
        assert!(window.add(-10));
        assert_eq!(window.room(), 0);
        assert!(window.add(11));
        assert_eq!(window.room(), 1);
        assert!(window.add(WINDOW_MAX - 1));
        assert!(!window.add(1));
    }
}
