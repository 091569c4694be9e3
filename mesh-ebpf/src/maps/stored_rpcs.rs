//! What is counted of RPCs for one key.

use super::atomic;
use core::mem::offset_of;
use core::ptr::NonNull;
use mesh_common::histogram::{self, Histogram};
use mesh_common::meter::record::RpcRow;

/// A row of `RPCS`.
pub(crate) struct StoredRpcs(pub(super) NonNull<RpcRow>);

impl StoredRpcs {
    #[inline(always)]
    fn add(&self, offset: usize, value: u64) {
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
    fn observe(&self, histogram_offset: usize, duration_ns: u64) {
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

    #[inline(always)]
    pub(crate) fn observe_duration(&self, duration_ns: u64) {
        self.observe(offset_of!(RpcRow, duration), duration_ns);
    }

    #[inline(always)]
    pub(crate) fn observe_first_response(&self, duration_ns: u64) {
        self.observe(offset_of!(RpcRow, first_response), duration_ns);
    }

    #[inline(always)]
    pub(crate) fn add_bytes(&self, request: u64, response: u64) {
        self.add(offset_of!(RpcRow, request_bytes), request);
        self.add(offset_of!(RpcRow, response_bytes), response);
    }
}
