//! Hands batches to the one thread that applies them: the latest value per file, never a queue.

use super::Batch;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Holds what was published and not yet taken; a newer version of a file replaces the older.
///
/// Bounded by the number of files of the configuration.
#[derive(Debug, Default)]
pub struct Mailbox {
    pending: Mutex<Pending>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    batch: Option<Batch>,
    is_closed: bool,
}

impl Mailbox {
    /// Puts a batch in, merging it with what is there; the earlier event's time is kept.
    pub fn put(&self, batch: Batch) {
        let mut pending = self.lock();
        pending.batch = Some(match pending.batch.take() {
            None => batch,
            Some(mut older) => {
                older.files.extend(batch.files);
                older.problems = batch.problems;
                older
            }
        });
        self.filled.notify_all();
    }

    /// Takes what is there.
    pub fn try_take(&self) -> Option<Batch> {
        self.lock().batch.take()
    }

    /// Waits for a batch for at most `timeout`; `None`: there was none, or the mailbox was closed.
    pub fn take(&self, timeout: Duration) -> Option<Batch> {
        let deadline = Instant::now() + timeout;
        let mut pending = self.lock();
        loop {
            if let Some(batch) = pending.batch.take() {
                return Some(batch);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if pending.is_closed || left.is_zero() {
                return None;
            }
            let waited = self.filled.wait_timeout(pending, left);
            (pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes everyone who waits; further batches are still kept.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
    }

    /// A panic elsewhere cannot leave a batch half written, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
