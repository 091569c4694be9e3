//! The pulse of the proxy: its threads tell the kernel that all of them move. One that hangs is as bad as all, since nobody
//! knows beforehand which of them will get a connection.

use crate::kernel::Heartbeat;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Pause between two beats of a thread: a quarter of what the kernel programs allow.
const PAUSE: Duration = Duration::from_millis(500);

/// When each thread moved last, in ns.
#[derive(Debug)]
struct Moved(Vec<AtomicU64>);

impl Moved {
    fn new(threads: usize, now_ns: u64) -> Self {
        Self((0..threads).map(|_| AtomicU64::new(now_ns)).collect())
    }

    /// Notes that a thread moves; says when all had.
    fn note(&self, thread: usize, now_ns: u64) -> u64 {
        if let Some(moved) = self.0.get(thread) {
            moved.store(now_ns, Ordering::Relaxed);
        }
        let times = self.0.iter().map(|moved| moved.load(Ordering::Relaxed));
        times.min().unwrap_or(now_ns)
    }
}

/// The pulse of all threads of the proxy.
#[derive(Debug)]
pub(super) struct Pulse {
    heartbeat: Heartbeat,
    moved: Moved,
}

impl Pulse {
    /// Begins to beat, for threads that are about to start.
    pub(super) fn new(heartbeat: Heartbeat, threads: usize) -> Arc<Self> {
        let now_ns = Heartbeat::now_ns();
        heartbeat.beat(now_ns);
        Arc::new(Self {
            heartbeat,
            moved: Moved::new(threads, now_ns),
        })
    }

    /// Beats for one of the threads, for ever: its event loop has to come back to it each time.
    pub(super) async fn keep(&self, thread: usize) {
        loop {
            let moved_ns = self.moved.note(thread, Heartbeat::now_ns());
            self.heartbeat.beat(moved_ns);
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Moved;

    #[test]
    fn one_thread_that_hangs_holds_the_pulse_of_all() {
        let moved = Moved::new(3, 100);
        assert_eq!(moved.note(0, 200), 100);
        assert_eq!(moved.note(1, 210), 100);
        assert_eq!(moved.note(2, 220), 200);
        for now in [300, 400, 500] {
            moved.note(0, now);
            assert_eq!(moved.note(1, now), 220, "thread 2 hangs");
        }
        assert_eq!(moved.note(2, 510), 500);
    }
}
