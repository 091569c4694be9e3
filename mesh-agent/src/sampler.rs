//! L3: the one thread that reads the measurements of kernel and proxy, for everybody who asks.
//!
//! Reading means walking a map and dumping sockets, so at most one reading a second is taken; whoever asks
//! within that second gets the last one. Figures are not read while nobody asks; upkeep is done every second, and so are the
//! calls taken over that the proxy has ended, more often where there are many.

use crate::api::Connections;
use crate::lifecycle::Worker;
use crate::observe::{OpenConnection, Snapshot};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A reading is good for this long. Readers may therefore see figures of up to a second ago.
pub const FRESH_FOR: Duration = Duration::from_secs(1);

/// How often upkeep is done.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);

/// Questions that may wait; as many as the admin server has connections, each of which asks one at a time.
const WAITING_MAX: usize = crate::api::READERS_MAX;

/// What the thread reads from: the kernel's observer and the proxy, or a test's figures.
pub struct Measurements {
    /// Reads every figure.
    pub snapshot: Box<dyn FnMut(Instant) -> Snapshot>,
    /// Lists the open connections.
    pub connections: Box<dyn FnMut(Instant) -> Vec<OpenConnection>>,
    /// Does what is to be done every second.
    pub maintain: Box<dyn FnMut(Instant)>,
    /// Takes over the calls that the proxy has ended; says after how long to come again.
    pub drain: Box<dyn FnMut(Instant) -> Duration>,
    /// What time it is.
    pub now: fn() -> Instant,
}

/// Why there is no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReading {
    /// More questions wait than the thread answers in time.
    #[error("too many readers at once; ask again in a second")]
    Busy,
    /// The thread is gone: the agent is shutting down.
    #[error("the agent is shutting down")]
    Stopping,
}

type Answer<T> = oneshot::Sender<Arc<T>>;

enum Question {
    Snapshot(Answer<Snapshot>),
    Connections(Answer<Connections>),
    Stop,
}

/// Asks the thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sampler {
    questions: SyncSender<Question>,
}

impl Sampler {
    /// Starts the thread; `measurements` is called on it.
    ///
    /// # Errors
    /// If the system refuses one more thread.
    pub fn start(
        measurements: impl FnOnce() -> Measurements + Send + 'static,
    ) -> io::Result<(Self, Worker)> {
        let (questions, inbox) = sync_channel(WAITING_MAX);
        let worker = Worker::spawn("observe", move || {
            answer_until_stopped(measurements(), &inbox);
            Ok::<(), Infallible>(())
        })?;
        Ok((Self { questions }, worker))
    }

    /// Every figure, at most [`FRESH_FOR`] old.
    ///
    /// # Errors
    /// If too many ask, or the agent is stopping.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, NoReading> {
        self.ask(Question::Snapshot).await
    }

    /// The open connections, at most [`FRESH_FOR`] old.
    ///
    /// # Errors
    /// If too many ask, or the agent is stopping.
    pub async fn connections(&self) -> Result<Arc<Connections>, NoReading> {
        self.ask(Question::Connections).await
    }

    /// Tells the thread to end after the questions that wait.
    pub fn stop(&self) {
        // An error means that it has ended already.
        self.questions.send(Question::Stop).ok();
    }

    async fn ask<T>(&self, question: fn(Answer<T>) -> Question) -> Result<Arc<T>, NoReading> {
        let (answer, reading) = oneshot::channel();
        self.questions
            .try_send(question(answer))
            .map_err(|error| match error {
                TrySendError::Full(_) => NoReading::Busy,
                TrySendError::Disconnected(_) => NoReading::Stopping,
            })?;
        reading.await.map_err(|_| NoReading::Stopping)
    }
}

fn answer_until_stopped(mut measurements: Measurements, inbox: &Receiver<Question>) {
    let mut snapshot = Cached::default();
    let mut connections = Cached::default();
    let mut maintained = (measurements.now)();
    let mut drained = (maintained, Duration::ZERO);
    loop {
        let now = (measurements.now)();
        if now.saturating_duration_since(maintained) >= MAINTAIN_EVERY {
            (measurements.maintain)(now);
            maintained = now;
        }
        if now.saturating_duration_since(drained.0) >= drained.1 {
            drained = (now, (measurements.drain)(now));
        }
        let until =
            |then, pause: Duration| pause.saturating_sub(now.saturating_duration_since(then));
        let pause = until(maintained, MAINTAIN_EVERY).min(until(drained.0, drained.1));
        let question = inbox.recv_timeout(pause);
        let now = (measurements.now)();
        match question {
            Ok(Question::Snapshot(answer)) => {
                let reading = snapshot.get(now, || {
                    drained = (now, (measurements.drain)(now));
                    (measurements.snapshot)(now)
                });
                // Whoever asked may have given up; the reading serves the next one.
                answer.send(reading).ok();
            }
            Ok(Question::Connections(answer)) => {
                let list = || Connections::from((measurements.connections)(now).as_slice());
                answer.send(connections.get(now, list)).ok();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Question::Stop) | Err(RecvTimeoutError::Disconnected) => {
                (measurements.drain)(now);
                return;
            }
        }
    }
}

/// The last reading.
struct Cached<T> {
    last: Option<(Instant, Arc<T>)>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<T> Cached<T> {
    fn get(&mut self, now: Instant, read: impl FnOnce() -> T) -> Arc<T> {
        if let Some((taken, reading)) = &self.last
            && now.saturating_duration_since(*taken) < FRESH_FOR
        {
            return Arc::clone(reading);
        }
        let reading = Arc::new(read());
        self.last = Some((now, Arc::clone(&reading)));
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::{Cached, FRESH_FOR, Measurements, NoReading, Sampler};
    use crate::observe::Snapshot;
    use std::sync::{Arc, OnceLock};
    use std::time::{Duration, Instant};

    #[test]
    fn at_most_one_reading_a_second_is_taken() {
        let mut cached = Cached::default();
        let mut taken = 0;
        let mut read = || {
            taken += 1;
            taken
        };
        let start = Instant::now();

        let just_before = start + FRESH_FOR - Duration::from_nanos(1);
        assert_eq!(*cached.get(start, &mut read), 1);
        assert_eq!(*cached.get(just_before, &mut read), 1);
        assert_eq!(*cached.get(start + FRESH_FOR, &mut read), 2);
    }

    #[test]
    fn a_snapshot_has_what_had_ended_before_it_and_the_end_loses_nothing() {
        let (tell, told) = std::sync::mpsc::channel();
        let snapshots = tell.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (sampler, worker) = Sampler::start(move || Measurements {
            snapshot: Box::new(move |_| {
                snapshots.send("snapshot").unwrap();
                Snapshot::default()
            }),
            connections: Box::new(|_| vec![]),
            maintain: Box::new(|_| {}),
            drain: Box::new(move |_| {
                tell.send("drain").unwrap();
                Duration::from_secs(3_600)
            }),
            now: || *NOW.get_or_init(Instant::now),
        })
        .unwrap();
        runtime.block_on(sampler.snapshot()).unwrap();
        sampler.stop();
        worker.join().unwrap();
        let order: Vec<&str> = told.iter().collect();
        assert_eq!(order, ["drain", "drain", "snapshot", "drain"]);
    }

    static NOW: OnceLock<Instant> = OnceLock::new();

    #[test]
    fn concurrent_readers_share_one_reading_and_learn_of_the_end() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (sampler, worker) = Sampler::start(|| Measurements {
            snapshot: Box::new(|_| Snapshot::default()),
            connections: Box::new(|_| vec![]),
            maintain: Box::new(|_| {}),
            drain: Box::new(|_| Duration::from_secs(1)),
            now: || *NOW.get_or_init(Instant::now),
        })
        .unwrap();

        let (one, other) =
            runtime.block_on(async { tokio::join!(sampler.snapshot(), sampler.snapshot()) });
        assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));

        sampler.stop();
        worker.join().unwrap();
        let after = runtime.block_on(sampler.connections());
        assert_eq!(after.unwrap_err(), NoReading::Stopping);
    }
}
