//! What inotify reported and the watcher has not looked at yet: one entry per file name, bounded.

use super::is_manifest;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Event, EventKind};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// File names held; beyond it the directory is scanned instead.
const NAMES_MAX: usize = 16_384;

/// The symlink that a ConfigMap volume swaps (Kubernetes' `atomic_writer.go`).
const CONFIG_MAP_LINK: &str = "..data";

/// What last happened to a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It appeared; if it is an ordinary file, somebody is still writing it.
    Created,
    /// It was closed after writing, or moved into place.
    Written,
    /// It was removed or moved out of the directory.
    Removed,
    /// It was renamed to something that is no manifest: an editor's backup, usually.
    MovedAside,
}

/// What the watcher is to look at.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// By file name.
    pub(super) changes: BTreeMap<OsString, Change>,
    /// Whether single events do not tell enough.
    pub(super) must_scan: bool,
    /// When the first of the events was seen.
    pub(super) seen: Option<Instant>,
    /// Whether the source is being dropped.
    pub(super) is_closed: bool,
}

/// What inotify reported and the watcher has not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<Taken>,
    filled: Condvar,
}

impl Inbox {
    /// Takes note of an event of the watched directory.
    pub(super) fn note(&self, directory: &Path, event: &notify::Result<Event>) {
        let mut state = self.lock();
        let before = (state.changes.len(), state.must_scan);
        match event {
            // An error of the watch (or a lost one) means that events are missing.
            Err(_) => state.must_scan = true,
            Ok(event) if event.need_rescan() => state.must_scan = true,
            Ok(event) => note_event(&mut state, directory, event),
        }
        if state.changes.len() > NAMES_MAX {
            state.changes.clear();
            state.must_scan = true;
        }
        let is_empty = state.changes.is_empty() && !state.must_scan;
        if !is_empty && state.seen.is_none() {
            state.seen = Some(Instant::now());
        }
        if !is_empty || before != (0, false) {
            self.filled.notify_one();
        }
    }

    /// Waits for something to look at, at most until `deadline`.
    pub(super) fn take(&self, deadline: Instant) -> Taken {
        let mut state = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_empty = state.changes.is_empty() && !state.must_scan && !state.is_closed;
            if !is_empty || left == Duration::ZERO {
                let is_closed = state.is_closed;
                let taken = std::mem::take(&mut *state);
                state.is_closed = is_closed;
                return taken;
            }
            let waited = self.filled.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells the watcher to stop.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    /// The state is consistent between any two statements, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note_event(state: &mut Taken, directory: &Path, event: &Event) {
    let change = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Change::Written,
        EventKind::Create(CreateKind::File) => Change::Created,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Change::Written,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
            Change::Removed
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            // `From` and `To` were reported too; this tells what the old name became.
            if let [from, to] = event.paths.as_slice()
                && is_manifest(from)
                && !is_manifest(to)
                && let Some(name) = from.file_name()
                && state
                    .changes
                    .get(name)
                    .is_none_or(|c| *c == Change::Removed)
            {
                state.changes.insert(name.to_owned(), Change::MovedAside);
            }
            return;
        }
        EventKind::Any
        | EventKind::Access(_)
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Other => return,
    };
    for path in &event.paths {
        if path == directory {
            state.must_scan = true;
        } else if path.parent() != Some(directory) {
            continue;
        } else if let Some(name) = path.file_name() {
            if name == CONFIG_MAP_LINK {
                state.must_scan = true;
            } else if is_manifest(path) {
                state.changes.insert(name.to_owned(), change);
            }
        }
    }
}
