//! How many requests there were in the last while, forgotten bit by bit.

use std::time::{Duration, Instant};

/// Steps in which the past is forgotten: a hundredth of the window at a time.
const STEPS: u64 = 100;

/// One slot more than steps, so that with the current one under way a whole window is remembered.
const SLOTS: usize = 101;

/// Requests of some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// First tries.
    pub(super) originals: u64,
    /// Retries.
    pub(super) retries: u64,
}

/// The requests of the last `length`, and at most a hundredth of it more.
#[derive(Clone, Debug)]
pub(super) struct Window {
    epoch: Instant,
    step_ns: u64,
    /// Number of the step under way.
    step: u64,
    slots: [Tally; SLOTS],
    total: Tally,
}

impl Window {
    /// Remembers nothing yet.
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self {
            epoch: now,
            step_ns: (length_ns / STEPS).max(1),
            step: 0,
            slots: [Tally::default(); SLOTS],
            total: Tally::default(),
        }
    }

    /// What is remembered at `now`.
    pub(super) fn total(&mut self, now: Instant) -> Tally {
        self.forget(now);
        self.total
    }

    /// Adds to what happens now. A clock that another thread read a little earlier counts as the present.
    pub(super) fn add(&mut self, now: Instant, tally: Tally) {
        self.forget(now);
        let slot = &mut self.slots[slot_of(self.step)];
        for counted in [slot, &mut self.total] {
            counted.originals += tally.originals;
            counted.retries += tally.retries;
        }
    }

    fn forget(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.epoch).as_nanos();
        let step = u64::try_from(elapsed / u128::from(self.step_ns)).unwrap_or(u64::MAX);
        if step <= self.step {
            return;
        }
        // After a whole window without a request, every slot is from before it.
        let stale = (step - self.step).min(STEPS + 1);
        for old in 0..stale {
            let slot = &mut self.slots[slot_of(step - old)];
            self.total.originals -= slot.originals;
            self.total.retries -= slot.retries;
            *slot = Tally::default();
        }
        self.step = step;
    }
}

fn slot_of(step: u64) -> usize {
    usize::try_from(step % (STEPS + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Tally, Window};
    use proptest::prelude::proptest;
    use std::time::{Duration, Instant};

    const ORIGINAL: Tally = Tally {
        originals: 1,
        retries: 0,
    };

    #[test]
    fn a_clock_that_stands_a_little_behind_counts_as_the_present() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(10), start);
        window.add(start + Duration::from_secs(5), ORIGINAL);
        window.add(start + Duration::from_secs(4), ORIGINAL);
        assert_eq!(window.total(start + Duration::from_secs(15)).originals, 2);
        assert_eq!(
            window
                .total(start + Duration::from_millis(15_200))
                .originals,
            0
        );
    }

    proptest! {
        #[test]
        fn a_whole_window_is_remembered_and_little_more(gaps_ms in proptest::collection::vec(0_u64..14_000, 1..60), quick in 1_u64..20) {
            let start = Instant::now();
            let mut window = Window::new(Duration::from_secs(10), start);
            let mut times = vec![];
            let mut now = start;
            for gap in gaps_ms {
                now += Duration::from_millis(gap / quick);
                times.push(now);
                window.add(now, ORIGINAL);
                let within = |ms: u64| {
                    let length = Duration::from_millis(ms);
                    times.iter().filter(|time| now - **time <= length).count() as u64
                };
                let counted = window.total(now).originals;
                assert!(within(9_999) <= counted && counted <= within(10_100), "{counted}");
            }
        }
    }
}
