//! How much control traffic a caller may send. `h2` answers PING and SETTINGS by itself, however many.

use super::WireLimits;
use super::frames::{FrameHead, kind};
use tokio::time::Instant;

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

    /// Whether the caller may send this frame. `has_answered`: something was answered since the last one (gRFC A8: servers
    /// forgive PINGs then, with which clients measure the way).
    pub(super) fn allows(&mut self, frame: FrameHead, has_answered: bool) -> bool {
        match frame.kind {
            kind::PING if !frame.is_ack() => self.allows_ping(Instant::now(), has_answered),
            kind::SETTINGS if !frame.is_ack() => self.settings.take(Instant::now()),
            kind::RST_STREAM => self.resets.take(Instant::now()),
            _ => true,
        }
    }

    fn allows_ping(&mut self, now: Instant, has_answered: bool) -> bool {
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
    use crate::proxy::wire::WireLimits;
    use crate::proxy::wire::frames::{FrameHead, kind};
    use std::time::Duration;
    use tokio::time::{Instant, advance};

    const fn frame(kind: u8, flags: u8) -> FrameHead {
        FrameHead {
            kind,
            flags,
            stream: 0,
        }
    }

    async fn pings_allowed(interval: Duration, has_answered: bool) -> usize {
        let mut budget = Budget::new(WireLimits::default(), Instant::now());
        for sent in 0..100 {
            if !budget.allows(frame(kind::PING, 0), has_answered) {
                return sent;
            }
            advance(interval).await;
        }
        100
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_each_ten_seconds_is_fine_and_faster_is_not() {
        for (interval_ms, has_answered, allowed) in [
            (10_000, false, 100),
            (9_000, false, 3),
            (0, false, 3),
            (0, true, 100),
        ] {
            let interval = Duration::from_millis(interval_ms);
            assert_eq!(
                pings_allowed(interval, has_answered).await,
                allowed,
                "every {interval_ms} ms"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn floods_end_and_acknowledgements_count_for_nothing() {
        let limits = WireLimits::default();
        for (flags, kind, allowed) in [
            (0, kind::SETTINGS, limits.settings_burst),
            (0, kind::RST_STREAM, limits.reset_burst),
            (1, kind::SETTINGS, 100_000),
            (1, kind::PING, 100_000),
            (0, kind::DATA, 100_000),
        ] {
            let mut budget = Budget::new(limits, Instant::now());
            let sent = (0..100_000)
                .take_while(|_| budget.allows(frame(kind, flags), false))
                .count();
            assert_eq!(u32::try_from(sent).unwrap(), allowed, "frame type {kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_fills_again() {
        let mut budget = Budget::new(WireLimits::default(), Instant::now());
        while budget.allows(frame(kind::SETTINGS, 0), false) {}
        advance(Duration::from_secs(1)).await;
        assert!(budget.allows(frame(kind::SETTINGS, 0), false));
        assert!(!budget.allows(frame(kind::SETTINGS, 0), false));
    }
}
