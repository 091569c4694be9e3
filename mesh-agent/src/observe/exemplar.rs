//! Single calls that stand for others in a histogram: the latest of each bucket whose trace is recorded.

use mesh_common::histogram::bucket;
use std::time::{Duration, SystemTime};

/// A call in a bucket of a histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The bucket, by [`mesh_common::histogram::bucket`].
    pub bucket: usize,
    /// Its trace.
    pub trace_id: [u8; 16],
    /// How long it took.
    pub duration: Duration,
    /// When it ended.
    pub ended: SystemTime,
}

impl Exemplar {
    /// A call in its bucket.
    #[must_use]
    pub fn new(trace_id: [u8; 16], duration: Duration, ended: SystemTime) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            bucket: bucket(ns),
            trace_id,
            duration,
            ended,
        }
    }

    /// Takes the place of the one of its bucket among others.
    pub(super) fn join(self, others: &mut Vec<Self>) {
        match others.iter_mut().find(|other| other.bucket == self.bucket) {
            Some(other) => *other = self,
            None => others.push(self),
        }
    }
}
