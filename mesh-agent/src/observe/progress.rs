//! How far the configuration has come: written by the reconcile thread, read by a scrape without waiting for it.

use mesh_common::histogram::{BUCKETS, Histogram, bucket};
use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shared figures of the configuration's way into the kernel.
///
/// Each figure is exact by itself; two of them read together may be one change apart.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    generation_seen: AtomicU64,
    generation_kernel: AtomicU64,
    rejected: AtomicU64,
    apply_failures: AtomicU64,
    propagation_buckets: [AtomicU64; BUCKETS],
    propagation_sum_ns: AtomicU64,
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressFigures {
    /// Generation of the configuration last read.
    pub generation_seen: u64,
    /// Generation that is in the kernel.
    pub generation_kernel: u64,
    /// Objects left out, or in force in an older version.
    pub rejected: u64,
    /// Times the kernel did not take a change.
    pub apply_failures: u64,
    /// From the event that announced a change to its being in the kernel.
    pub propagation: Histogram,
}

impl Progress {
    /// Notes what was read.
    pub fn seen(&self, generation: u64, rejected: u64) {
        self.0.generation_seen.store(generation, Ordering::Relaxed);
        self.0.rejected.store(rejected, Ordering::Relaxed);
    }

    /// Notes what is in the kernel.
    pub fn applied(&self, generation: u64) {
        self.0
            .generation_kernel
            .store(generation, Ordering::Relaxed);
    }

    /// Notes that the kernel did not take a change.
    pub fn apply_failed(&self) {
        self.0.apply_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long one change took from its event into the kernel.
    pub fn propagated(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // `bucket` returns less than BUCKETS for every duration.
        self.0.propagation_buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.0.propagation_sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Copies the figures.
    #[must_use]
    pub fn figures(&self) -> ProgressFigures {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        ProgressFigures {
            generation_seen: load(&self.0.generation_seen),
            generation_kernel: load(&self.0.generation_kernel),
            rejected: load(&self.0.rejected),
            apply_failures: load(&self.0.apply_failures),
            propagation: Histogram {
                buckets: array::from_fn(|index| load(&self.0.propagation_buckets[index])),
                sum_ns: load(&self.0.propagation_sum_ns),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Progress;
    use mesh_common::histogram::BOUNDARIES_NS;
    use std::time::Duration;

    #[test]
    fn a_reader_sees_what_every_clone_wrote() {
        let progress = Progress::default();
        let writer = progress.clone();

        writer.seen(4, 1);
        writer.applied(3);
        writer.propagated(Duration::from_nanos(BOUNDARIES_NS[3]));
        writer.propagated(Duration::MAX);

        let figures = progress.figures();
        assert_eq!((figures.generation_seen, figures.generation_kernel), (4, 3));
        assert_eq!(figures.rejected, 1);
        assert_eq!(figures.propagation.buckets[3], 1);
        assert_eq!(figures.propagation.buckets.last(), Some(&1));
    }
}
