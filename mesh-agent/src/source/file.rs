//! A directory of YAML files, watched.
//!
//! ```text
//! inotify ─► inbox (bounded; full: scan) ─► watcher thread ─► read, parse ─► sink
//!                             every second: a cheap scan (stat) ─┘
//! ```
//!
//! A file is read when it is closed after writing or moved into place, never while it is being written.

mod directory;
mod inbox;
mod watcher;

use self::directory::Directory;
use self::inbox::Inbox;
use self::watcher::Watcher;
use super::{Batch, SourceError};
use crate::config;
use crate::lifecycle::become_urgent;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// A watched directory of manifests. Dropping it stops the watch.
#[derive(Debug)]
pub struct FileSource {
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

impl FileSource {
    /// Reads the directory, gives everything to `sink` as one batch, and from then on every change.
    ///
    /// The first batch is given before this returns, even if the directory is empty. `sink` runs on the watcher's thread and
    /// should only hand the batch on ([`super::Mailbox::put`]).
    ///
    /// # Errors
    /// If the directory cannot be read or watched.
    pub fn start(
        directory: &Path,
        mut sink: impl FnMut(Batch) + Send + 'static,
    ) -> Result<Self, SourceError> {
        let inbox = Arc::new(Inbox::default());
        let directory = Directory::open(directory)?;
        let mut watcher = Watcher::start(directory, Arc::clone(&inbox))?;
        sink(watcher.first_batch());
        let path = watcher.path().display().to_string();
        let thread = std::thread::Builder::new()
            .name("config-watch".to_owned())
            .spawn(move || {
                // Refused: slower on a busy machine, and the reconcile thread says so.
                become_urgent().ok();
                watcher.run(&mut sink);
            })
            .map_err(|cause| SourceError::Thread { path, cause })?;
        Ok(Self {
            inbox,
            thread: Some(thread),
        })
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(thread) = self.thread.take() {
            // The thread's panic has been reported by the panic hook; there is nothing to add here.
            drop(thread.join());
        }
    }
}

/// Reads a directory once, without watching it.
///
/// # Errors
/// If the directory cannot be read.
pub fn read_directory(path: &Path) -> Result<Batch, SourceError> {
    let mut directory = Directory::open(path)?;
    let seen = Instant::now();
    let scan = directory.scan();
    let files = directory.read_all(&scan.present);
    Ok(Batch {
        seen,
        files,
        problems: scan.problems,
    })
}

/// Whether a file of this name is read: YAML or JSON, not hidden, no editor's backup.
fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let extension = path.extension().and_then(|extension| extension.to_str());
    name.is_some_and(|name| !name.starts_with('.'))
        && matches!(extension, Some("yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests;
