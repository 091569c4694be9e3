//! Questions to the reconcile thread, which alone knows what is in force.
//!
//! Answers are made when somebody asks, never per change: a change costs nothing for readers that are not there.

use super::{Message, Plans};
use crate::api::{Configuration, Problems, Program};
use std::sync::mpsc::{SyncSender, TrySendError};
use tokio::sync::oneshot;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Too much waits for the thread.
    #[error("the agent is busy applying configuration; ask again in a second")]
    Busy,
    /// The thread is gone.
    #[error("the agent is shutting down")]
    Stopping,
}

/// What the reconcile thread adds to the status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The configuration.
    pub configuration: Configuration,
    /// The kernel programs and where they are attached.
    pub programs: Vec<Program>,
}

type Answer<T> = oneshot::Sender<T>;

/// One question and where its answer goes.
#[derive(Debug)]
pub(super) enum Question {
    Overview(Answer<Overview>),
    Plans(Answer<Plans>),
    Problems(Answer<Problems>),
}

/// Asks the reconcile thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inquiries {
    pub(super) inbox: SyncSender<Message>,
}

impl Inquiries {
    /// The configuration and the programs.
    ///
    /// # Errors
    /// If the thread is busy or gone.
    pub async fn overview(&self) -> Result<Overview, NoAnswer> {
        self.ask(Question::Overview).await
    }

    /// The plans in force.
    ///
    /// # Errors
    /// If the thread is busy or gone.
    pub async fn plans(&self) -> Result<Plans, NoAnswer> {
        self.ask(Question::Plans).await
    }

    /// What is wrong with the configuration.
    ///
    /// # Errors
    /// If the thread is busy or gone.
    pub async fn problems(&self) -> Result<Problems, NoAnswer> {
        self.ask(Question::Problems).await
    }

    async fn ask<T>(&self, question: fn(Answer<T>) -> Question) -> Result<T, NoAnswer> {
        let (answer, reply) = oneshot::channel();
        self.inbox
            .try_send(Message::Question(question(answer)))
            .map_err(|error| match error {
                TrySendError::Full(_) => NoAnswer::Busy,
                TrySendError::Disconnected(_) => NoAnswer::Stopping,
            })?;
        reply.await.map_err(|_| NoAnswer::Stopping)
    }
}
