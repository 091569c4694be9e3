//! A row of counts, which is only ever added to.

use super::atomic;
use core::mem::offset_of;
use core::ptr::NonNull;
use mesh_common::histogram::{self, Histogram};

/// A row of `CONNECTIONS` or `RPCS`.
pub(crate) struct Counts<T>(pub(super) NonNull<T>);

impl<T> Counts<T> {
    #[inline(always)]
    pub(super) fn add(&self, offset: usize, value: u64) {
        let field = self
            .0
            .as_ptr()
            .cast::<u8>()
            .wrapping_add(offset)
            .cast::<u64>();
        // SAFETY: a `u64` of the row: only called so below.
        unsafe { atomic::add(field, value) };
    }

    #[inline(always)]
    pub(super) fn observe(&self, histogram_offset: usize, duration_ns: u64) {
        let bucket = histogram::bucket(duration_ns);
        self.add(
            histogram_offset + offset_of!(Histogram, buckets) + bucket * size_of::<u64>(),
            1,
        );
        self.add(
            histogram_offset + offset_of!(Histogram, sum_ns),
            duration_ns,
        );
    }
}
