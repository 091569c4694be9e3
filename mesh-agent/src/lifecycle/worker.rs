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
}

/// A named thread and the means to learn of its end.
#[derive(Debug)]
pub struct Worker {
    name: &'static str,
    thread: JoinHandle<Result<(), ThreadError>>,
    ended: oneshot::Receiver<()>,
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
            ended,
        })
    }

    /// Waits until the thread has ended, for whatever reason. Safe to cancel and call again.
    pub async fn ended(&mut self) {
        // Nobody ever sends: the channel closes when the thread is gone.
        if let Ok(()) = (&mut self.ended).await {}
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

    /// The reason why a thread ended that was not asked to.
    #[must_use]
    pub fn post_mortem(self) -> WorkerError {
        let name = self.name;
        self.join()
            .err()
            .unwrap_or(WorkerError::Ended { name })
    }
}

#[cfg(test)]
mod tests {
    use super::{Worker, WorkerError};

    fn post_mortem(body: fn() -> Result<(), &'static str>) -> WorkerError {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut worker = Worker::spawn("test", body).unwrap();
        runtime.block_on(worker.ended());
        worker.post_mortem()
    }

    #[test]
    fn every_way_to_end_is_noticed_and_told_apart() {
        assert!(matches!(post_mortem(|| Ok(())), WorkerError::Ended { .. }));
        assert!(matches!(
            post_mortem(|| panic!("expected by the test")),
            WorkerError::Panicked { .. }
        ));
        let failed = post_mortem(|| Err("no memory for table_rows"));
        assert_eq!(
            failed.to_string(),
            "thread test failed: no memory for table_rows"
        );
    }
}
