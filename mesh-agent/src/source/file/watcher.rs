//! Turns what happened in the directory into batches.
//!
//! Removals wait a moment, because programs replace files by removing and creating them, and editors by renaming
//! the old file first:
//!
//! ```text
//! Removed ────► wait 2 ms ─┐                     ┌─ file is there: nothing happened (its writer will close it)
//! MovedAside ─► wait 1 s ──┴─► look at the file ─┴─ file is missing, directory is there: gone
//! ```

use super::super::{Batch, SourceError};
use super::directory::{Directory, Identity, Reading, Scan, Stamp};
use super::inbox::{Change, Inbox, Taken};
use crate::lifecycle::become_urgent;
use crate::model::{ParsedFile, Problem};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a removed file may take to come back (`git checkout` removes and creates) before it counts as gone.
const REMOVAL_GRACE: Duration = Duration::from_millis(2);

/// The same for a file that was renamed to a backup: its editor is writing the new one. Also for the last files of the directory,
/// which usually go because the directory itself is being replaced.
const EDITING_GRACE: Duration = Duration::from_secs(1);

/// How often the directory's identity is looked at: one `stat`.
const IDENTITY_PERIOD: Duration = Duration::from_millis(500);

/// How many of those looks pass between scans, which find what inotify cannot show (targets of symlinks, network
/// file systems).
const LOOKS_PER_SCAN: u32 = 10;

/// Turns what happened in the directory into batches.
#[derive(Debug)]
pub(super) struct Watcher {
    directory: Directory,
    /// The directory's absolute path: events name files by it.
    watch_path: PathBuf,
    inbox: Arc<Inbox>,
    notify: RecommendedWatcher,
    /// The directory that is watched; `None`: it is gone.
    watched: Option<Identity>,
    /// Removals that wait.
    held: BTreeMap<Arc<Path>, Held>,
    /// Files that a periodic scan found changed; read when the next one finds them unchanged since.
    unsettled: BTreeMap<Arc<Path>, Stamp>,
    problems: Vec<Problem>,
    looks: u32,
}

/// A removal that waits.
#[derive(Clone, Copy, Debug)]
struct Held {
    seen: Instant,
    until: Instant,
    is_long: bool,
}

impl Held {
    fn short(seen: Instant) -> Self {
        Self {
            seen,
            until: Instant::now() + REMOVAL_GRACE,
            is_long: false,
        }
    }

    fn long(seen: Instant) -> Self {
        Self {
            seen,
            until: Instant::now() + EDITING_GRACE,
            is_long: true,
        }
    }
}

/// A batch in the making.
#[derive(Default)]
struct Draft {
    files: BTreeMap<Arc<Path>, Option<ParsedFile>>,
    seen: Option<Instant>,
    has_new_problems: bool,
}

impl Watcher {
    /// Starts to watch.
    pub(super) fn start(directory: Directory, inbox: Arc<Inbox>) -> Result<Self, SourceError> {
        let failed = |cause| SourceError::Watch {
            path: directory.path().display().to_string(),
            cause,
        };
        let watch_path = std::path::absolute(directory.path())
            .map_err(|cause| failed(notify::Error::io(cause)))?;
        let (path, receiver) = (watch_path.clone(), Arc::clone(&inbox));
        let mut is_urgent = false;
        let note = move |event| {
            // On notify's own thread, which nothing else can reach.
            if !std::mem::replace(&mut is_urgent, true) {
                become_urgent().ok();
            }
            receiver.note(&path, &event);
        };
        let mut notify = notify::recommended_watcher(note).map_err(failed)?;
        notify
            .watch(&watch_path, RecursiveMode::NonRecursive)
            .map_err(failed)?;
        Ok(Self {
            watched: directory.identity(),
            directory,
            watch_path,
            inbox,
            notify,
            held: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            problems: Vec::new(),
            looks: 0,
        })
    }

    /// The directory's path.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Everything the directory has at the start. The watch is on already, so nothing is missed in between.
    pub(super) fn first_batch(&mut self) -> Batch {
        let seen = Instant::now();
        let scan = self.directory.scan();
        let files = self.directory.read_all(&scan.present);
        self.problems.clone_from(&scan.problems);
        Batch {
            seen,
            files,
            problems: scan.problems,
        }
    }

    /// Publishes changes until the inbox is closed.
    pub(super) fn run(&mut self, sink: &mut impl FnMut(Batch)) {
        let mut next_look = Instant::now() + IDENTITY_PERIOD;
        loop {
            let removal = self.held.values().map(|held| held.until).min();
            let deadline = removal.map_or(next_look, |removal| removal.min(next_look));
            let taken = self.inbox.take(deadline);
            if taken.is_closed {
                return;
            }
            let now = Instant::now();
            let mut draft = Draft {
                seen: taken.seen,
                ..Draft::default()
            };
            self.handle(taken, now, &mut draft);
            if now >= next_look {
                next_look = now + IDENTITY_PERIOD;
                self.look(now, &mut draft);
            }
            self.settle_removals(now, &mut draft);
            if !draft.files.is_empty() || draft.has_new_problems {
                sink(Batch {
                    seen: draft.seen.unwrap_or(now),
                    files: draft.files,
                    problems: self.problems.clone(),
                });
            }
        }
    }

    fn handle(&mut self, taken: Taken, now: Instant, draft: &mut Draft) {
        let seen = taken.seen.unwrap_or(now);
        for (name, change) in taken.changes {
            let path = self.directory.key(&name);
            match change {
                Change::Written => self.read(&path, draft),
                Change::Created if is_complete_at_birth(&path) => self.read(&path, draft),
                // Somebody is writing it. Until it is closed the last version stays.
                Change::Created => {
                    self.held.remove(&path);
                }
                Change::Removed => self.hold(path, Held::short(seen)),
                Change::MovedAside => self.hold(path, Held::long(seen)),
            }
        }
        if taken.must_scan {
            self.rewatch();
            self.scan(now, true, draft);
        }
    }

    /// The periodic look: is it still the same directory, and now and then, did anything change unseen?
    fn look(&mut self, now: Instant, draft: &mut Draft) {
        self.looks += 1;
        if self.rewatch() {
            self.scan(now, true, draft);
        } else if self.looks.is_multiple_of(LOOKS_PER_SCAN) {
            self.scan(now, false, draft);
        }
    }

    /// Watches the directory that the path leads to now; says whether that is another one than before.
    fn rewatch(&mut self) -> bool {
        let identity = self.directory.identity();
        if identity == self.watched {
            return false;
        }
        // The watch of a directory that is gone is gone too: failing to remove it is no news.
        drop(self.notify.unwatch(&self.watch_path));
        self.watched = identity.filter(|_| {
            let watch = self
                .notify
                .watch(&self.watch_path, RecursiveMode::NonRecursive);
            watch.is_ok()
        });
        true
    }

    /// Compares the directory with what is known. Without `is_urgent`, a changed file is read only when two scans found it alike,
    /// because it may be half written.
    fn scan(&mut self, now: Instant, is_urgent: bool, draft: &mut Draft) {
        let Scan {
            is_there,
            present,
            problems,
        } = self.directory.scan();
        if problems != self.problems {
            self.problems = problems;
            draft.has_new_problems = true;
        }
        if !is_there {
            return;
        }
        let before = std::mem::take(&mut self.unsettled);
        for (path, stamp) in &present {
            if self.directory.is_current(path, stamp) {
                continue;
            }
            if is_urgent || before.get(path) == Some(stamp) {
                self.read(path, draft);
            } else {
                self.unsettled.insert(Arc::clone(path), *stamp);
            }
        }
        let missing = self.directory.known().filter(|p| !present.contains_key(*p));
        for path in missing.cloned().collect::<Vec<_>>() {
            self.hold(path, Held::short(now));
        }
    }

    fn read(&mut self, path: &Arc<Path>, draft: &mut Draft) {
        self.held.remove(path);
        match self.directory.read(path) {
            Reading::Same => {}
            Reading::Changed(parsed) => {
                draft.files.insert(Arc::clone(path), Some(parsed));
            }
            Reading::Missing => self.hold(Arc::clone(path), Held::short(Instant::now())),
        }
    }

    /// Lets a removal wait; one that waits already keeps the later end.
    fn hold(&mut self, path: Arc<Path>, new: Held) {
        if self.directory.knows(&path) {
            let held = self.held.entry(path).or_insert(new);
            if new.until > held.until {
                *held = Held {
                    seen: held.seen,
                    ..new
                };
            }
        }
    }

    /// Removes files whose grace is over and that are still missing.
    fn settle_removals(&mut self, now: Instant, draft: &mut Draft) {
        let due = self.held.iter().filter(|(_, held)| held.until <= now);
        let due: Vec<(Arc<Path>, Held)> = due.map(|(p, h)| (Arc::clone(p), *h)).collect();
        if due.is_empty() {
            return;
        }
        let is_there = self.directory.identity().is_some();
        let is_everything = self.directory.known().count() == self.held.len();
        for (path, held) in due {
            self.held.remove(&path);
            // Where the directory itself is gone, everything stays in force until it is back.
            if !is_there || fs::metadata(&path).is_ok() {
                continue;
            }
            if is_everything && !held.is_long {
                self.held.insert(path, Held::long(held.seen));
                continue;
            }
            self.directory.forget(&path);
            draft.seen = Some(draft.seen.map_or(held.seen, |seen| seen.min(held.seen)));
            draft.files.insert(path, None);
        }
    }
}

/// Whether a file that has just appeared is complete: symlinks and hard links are, other files are about to be written.
fn is_complete_at_birth(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_symlink() || m.nlink() > 1)
}
