//! A long-lived OS thread whose end is noticed.

use std::error::Error;
use std::io;
use std::thread::{Builder, JoinHandle};
use tokio::sync::oneshot;

/// A boxed error that can leave its thread.
type ThreadError = Box<dyn Error + Send + Sync>;

/// Why a worker is no more.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It gave up.
    #[error("thread {name} failed: {source}")]
    Failed {
        /// The thread's name.
        name: &'static str,
        /// What went wrong.
        source: ThreadError,
    },
    /// It panicked: a defect of the agent.
    #[error("thread {name} panicked, which is a defect of the agent; its message is in the log")]
    Panicked {
        /// The thread's name.
        name: &'static str,
    },
    /// It ended though nobody asked it to.
    #[error("thread {name} ended without being asked to")]
    Ended {
        /// The thread's name.
        name: &'static str,
    },
    /// It was asked to end and does not.
    #[error("thread {name} does not end")]
    Stuck {
        /// The thread's name.
        name: &'static str,
    },
}

/// A named thread and the means to learn of its end.
#[derive(Debug)]
pub struct Worker {
    name: &'static str,
    thread: JoinHandle<Result<(), ThreadError>>,
    /// Until its end was noticed.
    ended: Option<oneshot::Receiver<()>>,
}

impl Worker {
    /// Starts a thread. Its name is at most 15 bytes, so that `top -H` shows all of it.
    ///
    /// # Errors
    /// If the system refuses one more thread.
    pub fn spawn<F, E>(name: &'static str, body: F) -> io::Result<Self>
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
        E: Into<ThreadError>,
    {
        let (alive, ended) = oneshot::channel::<()>();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped on every way out, a panic included: that is what wakes `ended`.
            let _alive = alive;
            body().map_err(Into::into)
        })?;
        Ok(Self {
            name,
            thread,
            ended: Some(ended),
        })
    }

    /// Waits until the thread has ended, for whatever reason. Safe to cancel and call again.
    pub async fn ended(&mut self) {
        if let Some(ended) = &mut self.ended {
            // Nobody ever sends: the channel closes when the thread is gone.
            ended.await.ok();
            self.ended = None;
        }
    }

    /// Waits for the end of a thread that was asked to stop.
    ///
    /// # Errors
    /// If it failed or panicked.
    pub fn join(self) -> Result<(), WorkerError> {
        let name = self.name;
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(WorkerError::Failed { name, source }),
            Err(_) => Err(WorkerError::Panicked { name }),
        }
    }

    /// The thread's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

#[cfg(test)]
mod tests {
    use super::{Worker, WorkerError};

    fn end(body: fn() -> Result<(), &'static str>) -> Result<(), WorkerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut worker = Worker::spawn("test", body).unwrap();
        runtime.block_on(worker.ended());
        // Who stops everything asks again.
        runtime.block_on(worker.ended());
        worker.join()
    }

    #[test]
    fn every_way_to_end_is_noticed_and_told_apart() {
        assert!(end(|| Ok(())).is_ok());
        assert!(matches!(
            end(|| panic!("expected by the test")),
            Err(WorkerError::Panicked { .. })
        ));
        let failed = end(|| Err("no memory for table_rows"));
        assert_eq!(
            failed.unwrap_err().to_string(),
            "thread test failed: no memory for table_rows"
        );
    }
}
