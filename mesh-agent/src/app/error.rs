//! Why the agent does not run, or stopped.

use crate::admin::AdminError;
use crate::kernel::{Finding, KernelError};
use crate::lifecycle::WorkerError;
use crate::source::SourceError;
use std::io;

/// Why the agent does not run, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A setting is none.
    #[error("{flag} has no value that makes sense: {reason}")]
    Setting {
        /// The flag.
        flag: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The machine lacks something the mesh cannot do without.
    #[error("this machine cannot run the mesh; `mesh-agent check` tells more{0}")]
    Unfit(String),
    /// The kernel room.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The source of the configuration.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The admin server.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// A thread ended early, or does not end.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}; raise the limit of processes or pids of the service")]
    Thread(io::Error),
    /// The system gives no event loop, signal handler or address.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

impl AppError {
    /// Tells every failed probe with what helps.
    pub(super) fn unfit(failed: &[Finding]) -> Self {
        let mut list = String::new();
        for finding in failed {
            let Finding {
                probe,
                evidence,
                effect,
                remedy,
                ..
            } = finding;
            list.push_str(&format!(
                "\n  {probe}: {evidence}\n    so: {effect}\n    do: {remedy}"
            ));
        }
        Self::Unfit(list)
    }
}
