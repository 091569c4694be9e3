//! What is counted of RPCs for one key.

use super::Counts;
use core::mem::offset_of;
use mesh_common::meter::record::RpcRow;

impl Counts<RpcRow> {
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
