//! Why a test could not do what it set out to do.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The result of everything in this crate; a test returns it too.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Why a step of a test failed. A missing requirement is an error too: tests fail, they never skip.
#[derive(thiserror::Error)]
pub enum Error {
    /// A system call or file operation failed.
    #[error("{attempt}: {source}")]
    Io {
        /// What was attempted, on what.
        attempt: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The machine lacks something.
    #[error("{what}; remedy: {remedy}")]
    Requirement {
        /// What is missing.
        what: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A program ended badly.
    #[error("{program} failed ({status}): {stderr}")]
    Program {
        /// Which program, with its arguments.
        program: String,
        /// Its exit status.
        status: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// Something did not happen in time.
    #[error("not within {limit:?}: {what}; last seen: {last}")]
    Late {
        /// What was awaited.
        what: String,
        /// How long.
        limit: Duration,
        /// The last state seen.
        last: String,
    },
    /// A program said something that could not be read.
    #[error("unreadable answer of {from}: {answer}")]
    Unreadable {
        /// Who answered.
        from: String,
        /// The answer, and what is wrong with it.
        answer: String,
    },
    /// A binary has not been built.
    #[error("no {name} at {}; build it with `cargo xtask build`, or name it with {variable}", path.display())]
    NotBuilt {
        /// The binary.
        name: &'static str,
        /// Where it was expected.
        path: PathBuf,
        /// The environment variable that names it.
        variable: &'static str,
    },
}

impl fmt::Debug for Error {
    /// As it reads for people: this is what the test harness prints of a failed test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names what an I/O operation was for.
pub trait Context<T> {
    /// Turns an I/O error into [`Error::Io`]; `attempt` is only built on failure.
    fn context<S: Into<String>>(self, attempt: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context<S: Into<String>>(self, attempt: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| Error::Io {
            attempt: attempt().into(),
            source: source.into(),
        })
    }
}
