//! Things that were taken out of use and must rest before they are used again.
//!
//! A kernel program that has read an id or a table reference may go on using it until it returns.
//! Programs run for microseconds inside an RCU read-side section; a second is a grace period with room to spare.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a freed id or row range rests.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// A queue of freed things, oldest first.
#[derive(Debug)]
pub(super) struct Quarantine<T> {
    resting: VecDeque<(Instant, T)>,
}

impl<T> Default for Quarantine<T> {
    fn default() -> Self {
        Self {
            resting: VecDeque::new(),
        }
    }
}

impl<T> Quarantine<T> {
    /// Puts something to rest.
    pub(super) fn push(&mut self, now: Instant, thing: T) {
        self.resting.push_back((now, thing));
    }

    /// Takes out the next thing that has rested long enough.
    pub(super) fn pop_rested(&mut self, now: Instant) -> Option<T> {
        let (since, _) = self.resting.front()?;
        if now.saturating_duration_since(*since) < GRACE {
            return None;
        }
        self.resting.pop_front().map(|(_, thing)| thing)
    }

    /// Number of things that rest.
    pub(super) fn len(&self) -> usize {
        self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{GRACE, Quarantine};
    use std::time::{Duration, Instant};

    #[test]
    fn a_thing_rests_for_the_whole_grace_period() {
        let start = Instant::now();
        let mut quarantine = Quarantine::default();

        quarantine.push(start, "first");
        quarantine.push(start + Duration::from_millis(10), "second");

        assert_eq!(
            quarantine.pop_rested(start + GRACE - Duration::from_nanos(1)),
            None
        );
        assert_eq!(quarantine.pop_rested(start + GRACE), Some("first"));
        assert_eq!(quarantine.pop_rested(start + GRACE), None);
        assert_eq!(quarantine.len(), 1);
    }
}
