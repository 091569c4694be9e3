//! What can go wrong in xtask.

use std::io;
use std::process::ExitStatus;

use thiserror::Error as ThisError;

/// A failure, worded for the person who called xtask.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    /// A program could not be started at all.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The whole command line.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ended without success.
    #[error("`{command}` failed ({status})\n{output}")]
    Failed {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output, if it was not shown already.
        output: String,
    },
    /// A file or directory operation of xtask itself failed.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Set-up steps are missing that xtask may not or cannot do.
    #[error(
        "{count} set-up step(s) are missing; do what is said above, then run `cargo xtask setup` again"
    )]
    SetupIncomplete {
        /// How many.
        count: usize,
    },
    /// A step of the tests failed.
    #[error("step `{step}` failed: {source}")]
    Step {
        /// Its name on the command line.
        step: String,
        /// How it failed.
        source: Box<Self>,
    },
    /// Only root may do what was asked for.
    #[error("{what} needs root (network namespaces, BPF): run it as root or with `sudo -E`")]
    NeedsRoot {
        /// What was asked for.
        what: &'static str,
    },
    /// A set-up step ran without error, but what it was for is still missing.
    #[error("set-up step `{step}` ran, but still: {missing}")]
    StepWithoutEffect {
        /// The step's name.
        step: &'static str,
        /// What is missing.
        missing: String,
    },
}

impl Error {
    /// Words the failure to start a command.
    pub(crate) fn start(command: &str, source: io::Error) -> Self {
        Self::Start {
            command: command.to_owned(),
            source,
        }
    }

    /// Words a failed file operation.
    pub(crate) fn file(
        action: &'static str,
        path: impl AsRef<std::path::Path>,
        source: io::Error,
    ) -> Self {
        Self::File {
            action,
            path: path.as_ref().display().to_string(),
            source,
        }
    }
}
