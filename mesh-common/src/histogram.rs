//! Histograms aggregated in the kernel: fixed boundaries, counts per bucket, a sum.

use crate::wire::record;

/// Upper bounds of the connection histograms' buckets in nanoseconds, inclusive; one more bucket is
/// unbounded. 10 µs and 25 µs resolve connections within a node; the rest is the row of the RPC histograms:
/// 50 µs to 2.5 ms and the 14 boundaries of OpenTelemetry's RPC convention.
pub const BOUNDARIES_NS: [u64; 22] = [
    10_000,
    25_000,
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
pub const BUCKETS: usize = BOUNDARIES_NS.len() + 1;

record! {
    /// A histogram of durations.
    pub struct Histogram, size 192 {
        /// Observations per bucket (not cumulative).
        pub buckets: [u64; BUCKETS],
        /// Sum of all observations in ns.
        pub sum_ns: u64,
    }
}

/// The bucket that an observation falls into, always less than [`BUCKETS`].
#[inline(always)]
#[must_use]
pub fn bucket(duration_ns: u64) -> usize {
    let mut index = 0;
    while index < BOUNDARIES_NS.len() {
        if duration_ns <= BOUNDARIES_NS[index] {
            return index;
        }
        index += 1;
    }
    BUCKETS - 1
}

#[cfg(test)]
mod tests {
    use super::{BOUNDARIES_NS, BUCKETS, bucket};
    use proptest::prelude::proptest;

    #[test]
    fn boundaries_rise_and_are_inclusive() {
        for (index, boundary) in BOUNDARIES_NS.iter().enumerate() {
            assert_eq!(bucket(*boundary), index);
            assert_eq!(bucket(*boundary + 1), index + 1);
        }
    }

    proptest! {
        #[test]
        fn an_observation_lies_between_the_boundaries_of_its_bucket(duration_ns: u64) {
            let bucket = bucket(duration_ns);
            assert!(bucket < BUCKETS);
            assert!(bucket == BUCKETS - 1 || duration_ns <= BOUNDARIES_NS[bucket]);
            assert!(bucket == 0 || duration_ns > BOUNDARIES_NS[bucket - 1]);
        }
    }
}
