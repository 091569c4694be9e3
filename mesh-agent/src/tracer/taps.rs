//! Who taps, and the queue of each.

use crate::api::{TAPS_MAX, TapQuery};
use crate::observe::{Losses, ObservedRpc};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// RPCs that wait for one reader: a few milliseconds of a busy node, and less than a megabyte.
pub(super) const WAITING_MAX: usize = 4_096;

/// There is no place for one more reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TAPS_MAX} readers tap already; end one of them")]
pub struct TooManyTaps;

/// Everybody who taps. Cheap to clone.
#[derive(Clone)]
pub struct Taps(Arc<Shared>);

struct Shared {
    open: Mutex<Open>,
    wake: Arc<dyn Fn() + Send + Sync>,
    losses: Losses,
}

#[derive(Default)]
struct Open {
    readers: Vec<Reader>,
    is_closed: bool,
}

struct Reader {
    query: TapQuery,
    queue: Sender<Arc<ObservedRpc>>,
    lost: Arc<AtomicU64>,
}

impl Reader {
    fn offer(&self, rpc: &Arc<ObservedRpc>, losses: &Losses) {
        if self.query.matches(rpc) && self.queue.try_send(Arc::clone(rpc)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            losses.tap_line();
        }
    }
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taps")
            .field("readers", &self.lock().readers.len())
            .finish_non_exhaustive()
    }
}

impl Taps {
    /// Starts with nobody; `wake` wakes the thread that hands out.
    #[must_use]
    pub fn new(wake: Arc<dyn Fn() + Send + Sync>, losses: Losses) -> Self {
        Self(Arc::new(Shared {
            open: Mutex::default(),
            wake,
            losses,
        }))
    }

    /// Begins to tap.
    ///
    /// # Errors
    /// If too many do already.
    pub fn open(&self, query: TapQuery) -> Result<Tap, TooManyTaps> {
        let (queue, receiver) = channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let mut open = self.lock();
        open.readers.retain(|reader| !reader.queue.is_closed());
        if open.readers.len() >= TAPS_MAX {
            return Err(TooManyTaps);
        }
        if !open.is_closed {
            let lost = Arc::clone(&lost);
            open.readers.push(Reader { query, queue, lost });
        }
        drop(open);
        (self.0.wake)();
        Ok(Tap {
            queue: receiver,
            lost,
            wake: Arc::clone(&self.0.wake),
        })
    }

    /// Ends what everybody reads, for good.
    pub fn close(&self) {
        let mut open = self.lock();
        open.is_closed = true;
        open.readers.clear();
    }

    /// Forgets readers that have gone; says whether there are others.
    pub(super) fn prune(&self) -> bool {
        let mut open = self.lock();
        open.readers.retain(|reader| !reader.queue.is_closed());
        !open.readers.is_empty()
    }

    /// Gives everybody what matches. Whoever has no room loses it.
    pub(super) fn offer(&self, batch: &[Arc<ObservedRpc>]) {
        if batch.is_empty() {
            return;
        }
        let open = self.lock();
        for reader in &open.readers {
            for rpc in batch {
                reader.offer(rpc, &self.0.losses);
            }
        }
    }

    /// A panic elsewhere cannot leave the list half written, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader's end; dropping it ends the tap.
pub struct Tap {
    queue: Receiver<Arc<ObservedRpc>>,
    lost: Arc<AtomicU64>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Tap {
    /// The next RPCs, at least one and at most `limit`, which is not zero; none: the agent is stopping.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<Arc<ObservedRpc>>,
        limit: usize,
    ) -> Poll<usize> {
        self.queue.poll_recv_many(context, into, limit)
    }

    /// RPCs lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // Before the thread looks who is left.
        self.queue.close();
        (self.wake)();
    }
}
