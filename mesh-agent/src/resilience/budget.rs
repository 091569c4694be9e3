//! How many retries a destination may get (GEP-3388): a share of its original requests, and a few at any rate.

use super::window::{Tally, Window};
use crate::model::RetryBudget;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The retry budget of one destination Service, shared by all calls to it.
///
/// A retry is allowed while those of the last `interval` stay within `percent` of the original requests of the same time, or
/// while those of the last `minRetryRate.interval` are fewer than its `count`.
#[derive(Debug)]
pub struct Budget {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: RetryBudget,
    /// The last `interval`.
    requests: Window,
    /// The last `minRetryRate.interval`; only its retries are counted.
    recent: Window,
}

const ORIGINAL: Tally = Tally {
    originals: 1,
    retries: 0,
};

const RETRY: Tally = Tally {
    originals: 0,
    retries: 1,
};

impl Budget {
    /// A budget that knows of no request yet.
    #[must_use]
    pub fn new(settings: RetryBudget, now: Instant) -> Self {
        Self {
            state: Mutex::new(State::new(settings, now)),
        }
    }

    /// Puts other settings in force; what was counted over the same interval stays.
    pub fn reconfigure(&self, settings: RetryBudget, now: Instant) {
        let mut state = self.lock();
        if state.settings.interval != settings.interval {
            state.requests = Window::new(settings.interval, now);
        }
        if state.settings.retries_min_interval != settings.retries_min_interval {
            state.recent = Window::new(settings.retries_min_interval, now);
        }
        state.settings = settings;
    }

    /// Counts an original request, when its first try starts.
    pub fn original(&self, now: Instant) {
        self.lock().requests.add(now, ORIGINAL);
    }

    /// Takes the place of one retry; `false` if there is none.
    #[must_use]
    pub fn try_retry(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let is_allowed = state.has_share(now) || state.has_minimum(now);
        if is_allowed {
            state.requests.add(now, RETRY);
            state.recent.add(now, RETRY);
        }
        is_allowed
    }

    /// Nothing that runs under the lock can panic half-way, so what a poisoned one holds is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(settings: RetryBudget, now: Instant) -> Self {
        Self {
            settings,
            requests: Window::new(settings.interval, now),
            recent: Window::new(settings.retries_min_interval, now),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of seconds, far below 2^52"
    )]
    fn has_share(&mut self, now: Instant) -> bool {
        let seen = self.requests.total(now);
        (seen.retries + 1) as f64 * 100.0 <= seen.originals as f64 * self.settings.percent
    }

    fn has_minimum(&mut self, now: Instant) -> bool {
        self.recent.total(now).retries < u64::from(self.settings.retries_min)
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::model::RetryBudget;
    use proptest::prelude::proptest;
    use std::time::{Duration, Instant};

    const NO_MINIMUM: RetryBudget = RetryBudget {
        percent: 20.0,
        interval: Duration::from_secs(10),
        retries_min: 0,
        retries_min_interval: Duration::from_secs(1),
    };

    fn granted(budget: &Budget, wanted: u32, now: Instant) -> usize {
        (0..wanted).filter(|_| budget.try_retry(now)).count()
    }

    #[test]
    fn retries_get_their_share_of_the_originals_and_no_more() {
        let start = Instant::now();
        let budget = Budget::new(NO_MINIMUM, start);
        for _ in 0..50 {
            budget.original(start);
        }
        assert_eq!(granted(&budget, 50, start), 10);
        assert_eq!(granted(&budget, 50, start + Duration::from_secs(9)), 0);
    }

    #[test]
    fn originals_of_long_ago_earn_nothing() {
        let start = Instant::now();
        let budget = Budget::new(NO_MINIMUM, start);
        for _ in 0..50 {
            budget.original(start);
        }
        assert_eq!(
            granted(&budget, 50, start + Duration::from_millis(10_200)),
            0
        );
    }

    #[test]
    fn a_few_retries_are_allowed_at_any_rate() {
        let start = Instant::now();
        let budget = Budget::new(RetryBudget::default(), start);
        budget.original(start);
        assert_eq!(granted(&budget, 50, start), 10);
        assert_eq!(granted(&budget, 50, start + Duration::from_millis(900)), 0);
        assert_eq!(
            granted(&budget, 50, start + Duration::from_millis(1_100)),
            10
        );
    }

    #[test]
    fn a_changed_share_holds_for_what_was_counted() {
        let start = Instant::now();
        let budget = Budget::new(NO_MINIMUM, start);
        for _ in 0..50 {
            budget.original(start);
        }
        let half = RetryBudget {
            percent: 50.0,
            ..NO_MINIMUM
        };
        budget.reconfigure(half, start);
        assert_eq!(granted(&budget, 50, start), 25);
        let shorter = RetryBudget {
            interval: Duration::from_secs(1),
            ..half
        };
        budget.reconfigure(shorter, start);
        assert_eq!(
            granted(&budget, 50, start),
            0,
            "counted over another interval"
        );
    }

    proptest! {
        #[test]
        fn at_no_time_are_there_more_retries_than_allowed(steps in proptest::collection::vec((0_u64..400, 0_u32..40, 0_u32..40), 1..80)) {
            let start = Instant::now();
            let budget = Budget::new(RetryBudget::default(), start);
            let mut now = start;
            let mut history: Vec<(Instant, u32, usize)> = vec![];
            for (gap_ms, originals, wanted) in steps {
                now += Duration::from_millis(gap_ms);
                (0..originals).for_each(|_| budget.original(now));
                history.push((now, originals, granted(&budget, wanted, now)));
                let within = |ms| history.iter().filter(move |(at, ..)| now - *at <= Duration::from_millis(ms));
                let retries: usize = within(9_999).map(|(.., retries)| retries).sum();
                let earned: u32 = within(10_100).map(|(_, originals, _)| originals).sum();
                assert!(retries as f64 <= 0.2 * f64::from(earned) + 110.0, "{retries} of {earned}");
            }
        }
    }
}
