//! How everything that serves is told to stop: take no new work, finish what is under way, give up after a while.

use std::time::Duration;
use tokio::sync::watch;

/// How far stopping has come. It only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Work as usual.
    Serving,
    /// No new work; what is under way is finished.
    Finishing,
    /// The time for that is over: what is left is cut off.
    Ending,
}

/// The side that tells. Dropping it without [`Drain::finish`] means [`Phase::Ending`] to everyone who watches.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
}

/// The side that is told; whoever holds one is waited for.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    phase: watch::Receiver<Phase>,
}

impl Drain {
    /// A drain that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
        }
    }

    /// One more to be told and waited for.
    #[must_use]
    pub fn watch(&self) -> DrainWatch {
        DrainWatch {
            phase: self.phase.subscribe(),
        }
    }

    /// Tells everyone to finish, waits until nobody watches any more, and cuts off what is left after `grace`.
    ///
    /// Returns whether everyone finished in time.
    pub async fn finish(self, grace: Duration) -> bool {
        self.phase.send_replace(Phase::Finishing);
        let is_in_time = tokio::time::timeout(grace, self.phase.closed())
            .await
            .is_ok();
        self.phase.send_replace(Phase::Ending);
        self.phase.closed().await;
        is_in_time
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl DrainWatch {
    /// How far stopping has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        // A drain that was dropped can no longer wait for anyone.
        if self.phase.has_changed().is_err() {
            return Phase::Ending;
        }
        *self.phase.borrow()
    }

    /// Waits until stopping has come as far as `phase`. Safe to cancel and call again.
    pub async fn reached(&mut self, phase: Phase) {
        // An error says that the drain was dropped, which is the end.
        self.phase.wait_for(|now| *now >= phase).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::{Drain, Phase};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn finish_waits_for_every_watcher() {
        let drain = Drain::new();
        let mut watch = drain.watch();
        let worker = tokio::spawn(async move {
            watch.reached(Phase::Finishing).await;
            assert_eq!(watch.phase(), Phase::Finishing);
            tokio::time::advance(Duration::from_secs(1)).await;
        });

        assert!(drain.finish(Duration::from_secs(5)).await);
        worker.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_is_told_to_end() {
        let drain = Drain::new();
        let mut watch = drain.watch();
        let worker = tokio::spawn(async move {
            watch.reached(Phase::Ending).await;
            watch.phase()
        });

        assert!(!drain.finish(Duration::from_secs(5)).await);
        assert_eq!(worker.await.unwrap(), Phase::Ending);
    }

    #[tokio::test]
    async fn a_dropped_drain_is_the_end() {
        let drain = Drain::new();
        let mut watch = drain.watch();
        assert_eq!(watch.phase(), Phase::Serving);
        drop(drain);
        watch.reached(Phase::Ending).await;
        assert_eq!(watch.phase(), Phase::Ending);
    }
}
