//! L2: where manifests come from. Every source publishes the same [`Batch`].

pub mod file;
mod mailbox;

pub use mailbox::Mailbox;

use crate::model::{ParsedFile, Problem};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Files that changed together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// When the first of the events behind it was seen.
    pub seen: Instant,
    /// The files by path, as they are now; `None`: gone.
    pub files: BTreeMap<Arc<Path>, Option<ParsedFile>>,
    /// What is wrong with the source itself (the directory is gone); replaces what was said before.
    pub problems: Vec<Problem>,
}

/// Why a source cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The directory cannot be read.
    #[error(
        "cannot read the configuration directory {path}: {cause}; create it, or name another with --config"
    )]
    Unreadable {
        /// The directory.
        path: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// It is no directory.
    #[error("{path} is not a directory; name the directory of the manifests with --config")]
    NoDirectory {
        /// The path.
        path: String,
    },
    /// The kernel gives no inotify instance or watch.
    #[error(
        "cannot watch {path}: {cause}; raise fs.inotify.max_user_instances or fs.inotify.max_user_watches"
    )]
    Watch {
        /// The directory.
        path: String,
        /// Why not.
        cause: notify::Error,
    },
    /// No thread could be started.
    #[error("cannot start the thread that watches {path}: {cause}")]
    Thread {
        /// The directory.
        path: String,
        /// Why not.
        cause: std::io::Error,
    },
}
