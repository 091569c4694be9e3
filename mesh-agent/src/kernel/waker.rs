//! Ends the waiting of a thread.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Ends the waiting of a thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Wakes it, now or as soon as it waits.
    pub fn wake(&self) {
        // Fails only where the count is at its end, which wakes just as well.
        write(&*self.0, &1_u64.to_ne_bytes()).ok();
    }

    pub(super) fn clear(&self) {
        // Nothing to read: nobody has woken it.
        read(&*self.0, &mut [0_u8; 8]).ok();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::Waker;

    #[test]
    fn a_waker_can_be_used_any_number_of_times() {
        let waker = Waker::new().unwrap();
        waker.clear();
        waker.wake();
        waker.wake();
        waker.clear();
        waker.clear();
    }
}
