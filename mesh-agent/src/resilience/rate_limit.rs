//! How many requests a caller may make: token buckets, one for everybody or one per key.
//!
//! A bucket is one number, the time at which it will be full (the generic cell rate algorithm, ITU-T I.371): a token moves that
//! time on by a token's worth. A bucket whose time has come is full and says no more than a new one, and only such buckets are
//! ever forgotten. So nobody gets tokens back by making others' keys push his own out: where a set of the table has no full
//! bucket, keys that are not in it share one bucket until it has. All keys together pass at most as many requests as
//! [`KEYS_MAX`] buckets and the shared one do.

use crate::model::{RateLimit, RateLimitKey};
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Keys that have a bucket of their own at a time; 64 KiB.
const KEYS_MAX: usize = 4_096;

const WAYS: usize = 8;

const SETS: usize = KEYS_MAX / WAYS;

const SECOND_NS: u64 = 1_000_000_000;

/// The buckets of one `rateLimit`.
#[derive(Debug)]
pub struct RateLimiter {
    settings: RateLimit,
    pace: Pace,
    epoch: Instant,
    seed: u64,
    /// Everybody's bucket, or that of the keys that found no place.
    shared_ns: AtomicU64,
    /// Empty if everybody shares one bucket.
    sets: Box<[Mutex<[Bucket; WAYS]>]>,
}

/// A key and its bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Hash of the key; zero: no key.
    tag: u64,
    /// When it is full, since the epoch.
    full_ns: u64,
}

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug)]
struct Pace {
    token_ns: u64,
    /// How far ahead of now a bucket's time may be for a token to be in it.
    ahead_ns_max: u64,
}

impl Pace {
    fn new(settings: &RateLimit) -> Self {
        // Rounded up: never faster than said.
        let token_ns = SECOND_NS.div_ceil(u64::from(settings.requests_per_second.get()));
        Self {
            token_ns,
            ahead_ns_max: token_ns * u64::from(settings.burst.get() - 1),
        }
    }

    /// The bucket's time after a token is taken; `None` if there is none.
    fn take(self, full_ns: u64, now_ns: u64) -> Option<u64> {
        let from = full_ns.max(now_ns);
        (from - now_ns <= self.ahead_ns_max).then(|| from.saturating_add(self.token_ns))
    }
}

impl RateLimiter {
    /// Full buckets. `seed` must not be known to callers: it keeps them from choosing keys that meet in one set.
    #[must_use]
    pub fn new(settings: &RateLimit, seed: u64, now: Instant) -> Self {
        let sets = match settings.per {
            RateLimitKey::Total => 0,
            RateLimitKey::Source | RateLimitKey::Header(_) => SETS,
        };
        Self {
            settings: settings.clone(),
            pace: Pace::new(settings),
            epoch: now,
            seed,
            shared_ns: AtomicU64::new(0),
            sets: (0..sets).map(|_| Mutex::default()).collect(),
        }
    }

    /// What it was made from: while that stays the same, so should the buckets.
    #[must_use]
    pub const fn settings(&self) -> &RateLimit {
        &self.settings
    }

    /// Takes a token for a request; `false` if there is none. `key`: the caller's workload or the header's value, whatever
    /// `per` says; callers without one share one bucket. It means nothing where everybody shares one.
    #[must_use]
    pub fn admits(&self, key: &[u8], now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.epoch).as_nanos();
        let now_ns = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let tag = self.tag(key);
        // The low bits choose the set; without sets there is none to choose.
        let set = usize::try_from(tag % SETS as u64).unwrap_or(0);
        let Some(set) = self.sets.get(set) else {
            return self.admits_shared(now_ns);
        };
        let mut buckets = set.lock().unwrap_or_else(PoisonError::into_inner);
        let own = buckets.iter().position(|bucket| bucket.tag == tag);
        let is_full = |bucket: &Bucket| bucket.full_ns <= now_ns;
        let place = own.or_else(|| buckets.iter().position(is_full));
        let Some(bucket) = place.and_then(|place| buckets.get_mut(place)) else {
            drop(buckets);
            return self.admits_shared(now_ns);
        };
        let Some(full_ns) = self.pace.take(bucket.full_ns, now_ns) else {
            return false;
        };
        *bucket = Bucket { tag, full_ns };
        true
    }

    fn admits_shared(&self, now_ns: u64) -> bool {
        let take = |full_ns| self.pace.take(full_ns, now_ns);
        self.shared_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    fn tag(&self, key: &[u8]) -> u64 {
        if self.sets.is_empty() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(key);
        hasher.finish().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEYS_MAX, RateLimiter};
    use crate::model::{RateLimit, RateLimitKey};
    use proptest::prelude::proptest;
    use std::num::NonZeroU32;
    use std::thread;
    use std::time::{Duration, Instant};

    fn limit(requests_per_second: u32, burst: u32, per: RateLimitKey) -> RateLimit {
        RateLimit {
            requests_per_second: NonZeroU32::new(requests_per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
            per,
        }
    }

    fn admitted(limiter: &RateLimiter, key: &str, wanted: u32, now: Instant) -> u32 {
        (0..wanted)
            .map(|_| u32::from(limiter.admits(key.as_bytes(), now)))
            .sum()
    }

    #[test]
    fn a_full_bucket_passes_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let limiter = RateLimiter::new(&limit(100, 20, RateLimitKey::Total), 1, start);
        assert_eq!(admitted(&limiter, "", 50, start), 20);
        assert_eq!(
            admitted(&limiter, "", 50, start + Duration::from_millis(50)),
            5
        );
        assert_eq!(
            admitted(&limiter, "", 50, start + Duration::from_secs(3_600)),
            20
        );
    }

    #[test]
    fn keys_have_buckets_of_their_own_only_where_asked_for() {
        let start = Instant::now();
        for (per, expected) in [
            (RateLimitKey::Total, [10, 0, 0]),
            (RateLimitKey::Source, [10, 10, 0]),
            (RateLimitKey::Header("x-user".into()), [10, 10, 0]),
        ] {
            let limiter = RateLimiter::new(&limit(1, 10, per), 1, start);
            let seen = ["a", "b", "a"].map(|key| admitted(&limiter, key, 20, start));
            assert_eq!(seen, expected, "{:?}", limiter.settings().per);
        }
    }

    #[test]
    fn other_keys_never_bring_tokens_back() {
        let start = Instant::now();
        let limiter = RateLimiter::new(&limit(1, 2, RateLimitKey::Source), 7, start);
        assert_eq!(admitted(&limiter, "victim", 5, start), 2);
        let others: u32 = (0..100_000)
            .map(|key| admitted(&limiter, &key.to_string(), 1, start))
            .sum();
        let bound = u32::try_from(KEYS_MAX + 2).unwrap();
        assert!(others <= bound, "{others} requests of 100,000 keys");
        assert_eq!(admitted(&limiter, "victim", 5, start), 0);
    }

    #[test]
    fn a_full_bucket_is_forgotten_for_a_key_that_needs_the_place() {
        let start = Instant::now();
        let limiter = RateLimiter::new(&limit(1, 1, RateLimitKey::Source), 7, start);
        for key in 0..100_000 {
            admitted(&limiter, &key.to_string(), 1, start);
        }
        let later = start + Duration::from_secs(2);
        let fresh = (0..1_000).map(|key| admitted(&limiter, &format!("new {key}"), 1, later));
        assert!(
            fresh.sum::<u32>() > 900,
            "the old keys' buckets are full again"
        );
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let start = Instant::now();
        for per in [RateLimitKey::Total, RateLimitKey::Source] {
            let limiter = RateLimiter::new(&limit(1, 1_000, per), 1, start);
            let total: u32 = thread::scope(|scope| {
                let workers: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| admitted(&limiter, "a", 1_000, start)))
                    .collect();
                workers
                    .into_iter()
                    .map(|worker| worker.join().unwrap())
                    .sum()
            });
            assert_eq!(total, 1_000);
        }
    }

    proptest! {
        #[test]
        fn no_time_passes_more_than_burst_and_rate(rate in 1_u32..5_000, burst in 1_u32..200, gaps_us in proptest::collection::vec((0_u64..20_000, 0_u32..50), 1..100)) {
            let start = Instant::now();
            let limiter = RateLimiter::new(&limit(rate, burst, RateLimitKey::Total), 1, start);
            let (mut now, mut total) = (start, 0);
            for (gap, wanted) in gaps_us {
                now += Duration::from_micros(gap);
                total += admitted(&limiter, "", wanted, now);
                let most = f64::from(burst) + (now - start).as_secs_f64() * f64::from(rate);
                assert!(f64::from(total) <= most + 1e-6, "{total} of {most}");
            }
        }
    }
}
