//! What is counted of connections for one (source, destination).

use super::Counts;
use core::mem::offset_of;
use mesh_common::capture::Bypass;
use mesh_common::connection::{CloseReason, ConnectError, ConnectionRow};

impl Counts<ConnectionRow> {
    #[inline(always)]
    pub(crate) fn add_opened(&self) {
        self.add(offset_of!(ConnectionRow, opened), 1);
    }

    #[inline(always)]
    pub(crate) fn add_closed(&self, reason: CloseReason) {
        self.add(
            offset_of!(ConnectionRow, closed) + reason as usize * size_of::<u64>(),
            1,
        );
    }

    #[inline(always)]
    pub(crate) fn add_failed(&self, error: ConnectError) {
        self.add(
            offset_of!(ConnectionRow, failed) + error as usize * size_of::<u64>(),
            1,
        );
    }

    #[inline(always)]
    pub(crate) fn add_bypassed(&self, reason: Bypass) {
        self.add(
            offset_of!(ConnectionRow, bypassed) + reason as usize * size_of::<u64>(),
            1,
        );
    }

    #[inline(always)]
    pub(crate) fn add_sent_bytes(&self, bytes: u64) {
        self.add(offset_of!(ConnectionRow, sent_bytes), bytes);
    }

    #[inline(always)]
    pub(crate) fn add_received_bytes(&self, bytes: u64) {
        self.add(offset_of!(ConnectionRow, received_bytes), bytes);
    }

    #[inline(always)]
    pub(crate) fn add_retransmits(&self, segments: u64) {
        self.add(offset_of!(ConnectionRow, retransmits), segments);
    }

    #[inline(always)]
    pub(crate) fn observe_connect(&self, duration_ns: u64) {
        self.observe(offset_of!(ConnectionRow, connect), duration_ns);
    }

    #[inline(always)]
    pub(crate) fn observe_round_trip(&self, duration_ns: u64) {
        self.observe(offset_of!(ConnectionRow, rtt), duration_ns);
    }
}
