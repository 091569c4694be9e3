//! Rows in which nothing happens any more.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long a row must be without an open connection, and without a new count, before it goes, so that its last
/// counts can still be read.
const IDLE: Duration = Duration::from_secs(2);

/// Rows that stand still: since when, and what they had counted by then.
#[derive(Debug)]
pub(super) struct Idle<K>(HashMap<K, (Instant, u64)>);

impl<K> Default for Idle<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Idle<K> {
    /// Whether a row has had nothing open, and no new count, for [`IDLE`].
    pub(super) fn is_over(&mut self, key: K, is_open: bool, count: u64, now: Instant) -> bool {
        if is_open {
            self.forget(&key);
            return false;
        }
        let (since, before) = *self.0.entry(key).or_insert((now, count));
        if before != count {
            self.0.insert(key, (now, count));
            return false;
        }
        let is_over = now.saturating_duration_since(since) >= IDLE;
        if is_over {
            self.forget(&key);
        }
        is_over
    }

    /// Begins anew with a row.
    pub(super) fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::{IDLE, Idle};
    use std::time::{Duration, Instant};

    #[test]
    fn a_row_is_over_once_nothing_has_happened_for_a_while() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut idle = Idle::default();

        assert!(!idle.is_over(1, false, 5, at(0)));
        assert!(!idle.is_over(1, false, 6, at(1_500)), "it was counted in");
        assert!(!idle.is_over(1, false, 6, at(2_500)));
        assert!(!idle.is_over(1, true, 6, at(3_000)), "it has one open");
        assert!(!idle.is_over(1, false, 6, at(3_400)));
        assert!(idle.is_over(1, false, 6, at(3_400) + IDLE));
        assert!(!idle.is_over(1, false, 6, at(9_000)), "and begins anew");
    }
}
