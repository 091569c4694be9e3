//! Rate limits in force, each shared by every request that it is for.

use crate::model::{ObjectId, RateLimit};
use crate::resilience::RateLimiter;
use crate::route::{Rule, RuleName};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Limits whose rules are gone stay until this many are known; full buckets take little.
const KNOWN_MAX: usize = 4_096;

/// A limit: who says so, for which rule.
type Key = (Option<ObjectId>, RuleName);

/// Rate limits in force.
#[derive(Debug, Default)]
pub(super) struct Limiters {
    known: Mutex<HashMap<Key, Arc<RateLimiter>>>,
}

impl Limiters {
    /// The limit of a rule; it goes on while what it says stays the same.
    pub(super) fn of(&self, rule: &Rule, limit: &RateLimit, now: Instant) -> Arc<RateLimiter> {
        let key = (rule.set_by.rate_limit.clone(), rule.name.clone());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = known.get(&key)
            && limiter.settings() == limit
        {
            return Arc::clone(limiter);
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        let limiter = Arc::new(RateLimiter::new(limit, fastrand::u64(..), now));
        known.insert(key, Arc::clone(&limiter));
        limiter
    }
}
