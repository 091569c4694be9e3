//! How much control traffic a caller may send.

use super::limits::WireLimits;
use std::time::Instant;

/// What a caller has left.
#[derive(Debug)]
pub(super) struct Budget {
    limits: WireLimits,
    resets: Bucket,
    settings: Bucket,
    last_ping: Option<Instant>,
    strikes: u32,
}

impl Budget {
    pub(super) fn new(limits: WireLimits, now: Instant) -> Self {
        Self {
            limits,
            resets: Bucket::new(limits.reset_burst, limits.resets_per_second, now),
            settings: Bucket::new(limits.settings_burst, 1, now),
            last_ping: None,
            strikes: 0,
        }
    }

    /// Whether the caller may reset one more stream.
    pub(super) fn allows_reset(&mut self, now: Instant) -> bool {
        self.resets.take(now)
    }

    /// Whether the caller may change its settings once more.
    pub(super) fn allows_settings(&mut self, now: Instant) -> bool {
        self.settings.take(now)
    }

    /// Whether the caller may PING. `has_answered`: something was answered since the last one (gRFC A8: servers forgive PINGs
    /// then, with which clients measure the way).
    pub(super) fn allows_ping(&mut self, now: Instant, has_answered: bool) -> bool {
        let last = self.last_ping.replace(now);
        let is_in_time = last.is_none_or(|last| now - last >= self.limits.ping_interval);
        self.strikes = if is_in_time || has_answered {
            0
        } else {
            self.strikes + 1
        };
        self.strikes <= self.limits.ping_strikes_max
    }
}

/// A token bucket.
#[derive(Debug)]
struct Bucket {
    left: f64,
    size: f64,
    per_second: f64,
    filled: Instant,
}

impl Bucket {
    fn new(size: u32, per_second: u32, now: Instant) -> Self {
        Self {
            left: f64::from(size),
            size: f64::from(size),
            per_second: f64::from(per_second),
            filled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let gained = (now - self.filled).as_secs_f64() * self.per_second;
        self.left = (self.left + gained).min(self.size);
        self.filled = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use crate::http2::limits::WireLimits;
    use std::time::{Duration, Instant};

    fn pings_allowed(interval: Duration, has_answered: bool) -> usize {
        let mut now = Instant::now();
        let mut budget = Budget::new(WireLimits::default(), now);
        for sent in 0..100 {
            if !budget.allows_ping(now, has_answered) {
                return sent;
            }
            now += interval;
        }
        100
    }

    #[test]
    fn a_ping_each_ten_seconds_is_fine_and_faster_is_not() {
        for (interval_ms, has_answered, allowed) in [
            (10_000, false, 100),
            (9_000, false, 3),
            (0, false, 3),
            (0, true, 100),
        ] {
            let interval = Duration::from_millis(interval_ms);
            assert_eq!(
                pings_allowed(interval, has_answered),
                allowed,
                "every {interval_ms} ms"
            );
        }
    }

    #[test]
    fn floods_end_and_buckets_fill_again() {
        let limits = WireLimits::default();
        let now = Instant::now();
        type Allows = fn(&mut Budget, Instant) -> bool;
        let kinds: [(Allows, u32); 2] = [
            (Budget::allows_settings, limits.settings_burst),
            (Budget::allows_reset, limits.reset_burst),
        ];
        for (allows, allowed) in kinds {
            let mut budget = Budget::new(limits, now);
            let sent = (0..100_000)
                .take_while(|_| allows(&mut budget, now))
                .count();
            assert_eq!(u32::try_from(sent).unwrap(), allowed);
            assert!(allows(&mut budget, now + Duration::from_secs(1)));
        }
    }
}
