//! What `SOCKETS` holds of one socket.

use core::mem::offset_of;
use core::ptr::NonNull;
use mesh_common::socket::{Metering, Phase, SocketState};

/// The state that the mesh keeps of a socket. Written under the socket's lock.
pub(crate) struct StoredSocket(pub(super) NonNull<SocketState>);

impl StoredSocket {
    /// A copy; what is not used of it is not read.
    #[inline(always)]
    pub(crate) fn get(&self) -> SocketState {
        // SAFETY: points to the socket's state.
        unsafe { self.0.read() }
    }

    #[inline(always)]
    fn set<T>(&self, offset: usize, value: T) {
        let field = self
            .0
            .as_ptr()
            .cast::<u8>()
            .wrapping_add(offset)
            .cast::<T>();
        // SAFETY: a field of the socket's state, of this type: only called so below.
        unsafe { field.write_volatile(value) }
    }

    #[inline(always)]
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.set(offset_of!(SocketState, phase), phase as u32);
    }

    #[inline(always)]
    pub(crate) fn set_metering(&self, metering: Metering) {
        self.set(offset_of!(SocketState, metering), metering as u32);
    }

    #[inline(always)]
    pub(crate) fn set_source(&self, source: u32) {
        self.set(offset_of!(SocketState, source), source);
    }

    #[inline(always)]
    pub(crate) fn set_established(&self, at_ns: u64) {
        self.set(offset_of!(SocketState, established_ns), at_ns);
    }

    #[inline(always)]
    pub(crate) fn set_sampled(&self, at_ns: u64) {
        self.set(offset_of!(SocketState, sampled_ns), at_ns);
    }

    /// `getpeername` leaves the socket alone from now on.
    #[inline(always)]
    pub(crate) fn forget_rewrite(&self) {
        self.set(offset_of!(SocketState, rewritten), 0_u32);
    }
}
