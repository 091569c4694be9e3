//! What a client saw of its calls.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Upper bounds of the exported histograms' buckets in nanoseconds, inclusive.
pub const BOUNDS_NS: [u64; 20] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Number of buckets, the unbounded one included.
pub const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// The bucket of a duration.
#[must_use]
pub fn bucket(duration_ns: u64) -> usize {
    BOUNDS_NS
        .iter()
        .position(|&bound| duration_ns <= bound)
        .unwrap_or(BUCKETS - 1)
}

/// Calls of one method that ended with one status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many.
    pub count: u64,
    /// How long they took together, from the call to its status.
    pub sum_ns: u64,
    /// How many took how long (not cumulative); [`BOUNDS_NS`].
    pub buckets: [u64; BUCKETS],
}

/// What a client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// By method and status: `Get OK`.
    pub calls: BTreeMap<String, Outcome>,
    /// Calls whose replies were not those that were ordered, or whose status was not.
    pub wrong: u64,
    /// One of them.
    pub first_wrong: Option<String>,
}

impl Truth {
    /// Adds a call.
    pub fn add(&mut self, method: &str, status: &str, duration_ns: u64) {
        let outcome = self.calls.entry(format!("{method} {status}")).or_default();
        outcome.count += 1;
        outcome.sum_ns += duration_ns;
        outcome.buckets[bucket(duration_ns)] += 1;
    }

    /// Adds what another client saw, or the same one of another plan.
    pub fn merge(&mut self, other: &Self) {
        for (name, outcome) in &other.calls {
            let own = self.calls.entry(name.clone()).or_default();
            own.count += outcome.count;
            own.sum_ns += outcome.sum_ns;
            for (sum, count) in own.buckets.iter_mut().zip(outcome.buckets) {
                *sum += count;
            }
        }
        self.wrong += other.wrong;
        self.first_wrong = self
            .first_wrong
            .take()
            .or_else(|| other.first_wrong.clone());
    }

    /// Counts by method and status.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(String, String), u64> {
        self.calls
            .iter()
            .filter_map(|(name, outcome)| {
                let (method, status) = name.split_once(' ')?;
                Some(((method.to_owned(), status.to_owned()), outcome.count))
            })
            .collect()
    }

    /// All calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.values().map(|outcome| outcome.count).sum()
    }

    /// Calls that ended with a status.
    #[must_use]
    pub fn by_status(&self, status: &str) -> u64 {
        self.counts()
            .iter()
            .filter(|((_, name), _)| name == status)
            .map(|(_, count)| count)
            .sum()
    }
}
