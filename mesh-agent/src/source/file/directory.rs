//! The directory on disk: which manifests it has, what they contain, which of them changed.

use super::super::SourceError;
use super::{config, is_manifest};
use crate::config::FILE_SIZE_MAX;
use crate::model::{ParsedFile, Problem, Severity};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files read from one directory; further ones are reported. Two objects per file make 50,000 Services.
const FILES_MAX: usize = 100_000;

/// What tells one version of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Which directory a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// What a look at the directory showed.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Whether the directory could be read.
    pub(super) is_there: bool,
    /// The manifests it has.
    pub(super) present: BTreeMap<Arc<Path>, Stamp>,
    /// What is wrong with the directory itself.
    pub(super) problems: Vec<Problem>,
}

/// What a look at one file showed.
#[derive(Debug)]
pub(super) enum Reading {
    /// There is no such file.
    Missing,
    /// It contains what it contained before.
    Same,
    /// It changed.
    Changed(ParsedFile),
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
struct Known {
    stamp: Option<Stamp>,
    digest: Option<u64>,
}

/// The directory on disk and what is known of its files.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    known: BTreeMap<Arc<Path>, Known>,
}

impl Directory {
    /// Opens the directory.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let shown = || path.display().to_string();
        let unreadable = |cause| SourceError::Unreadable {
            path: shown(),
            cause,
        };
        if !fs::metadata(path).map_err(unreadable)?.is_dir() {
            return Err(SourceError::NoDirectory { path: shown() });
        }
        drop(fs::read_dir(path).map_err(unreadable)?);
        Ok(Self {
            path: path.to_owned(),
            known: BTreeMap::new(),
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory the path leads to; `None`: none.
    pub(super) fn identity(&self) -> Option<Identity> {
        let metadata = fs::metadata(&self.path).ok().filter(Metadata::is_dir)?;
        Some(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// The key of the file `name`.
    pub(super) fn key(&self, name: &std::ffi::OsStr) -> Arc<Path> {
        self.path.join(name).into()
    }

    /// The files that are in force.
    pub(super) fn known(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.known.keys()
    }

    /// Whether a file is in force.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.known.contains_key(path)
    }

    /// Whether a file is in force as of `stamp`.
    pub(super) fn is_current(&self, path: &Path, stamp: &Stamp) -> bool {
        let known = self.known.get(path);
        known.is_some_and(|known| known.stamp.as_ref() == Some(stamp))
    }

    /// Forgets a file.
    pub(super) fn forget(&mut self, path: &Path) {
        self.known.remove(path);
    }

    /// Looks at the directory, not into its files.
    pub(super) fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("the configuration directory cannot be read: {error}");
                let remedy = "bring it back; until then everything stays as it was";
                scan.problems
                    .push(self.problem(&self.path, Severity::Error, message, remedy));
                return scan;
            }
        };
        scan.is_there = true;
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let metadata = fs::metadata(&path);
            if metadata.as_ref().is_ok_and(Metadata::is_dir) {
                let message = "subdirectories are not read".to_owned();
                let remedy = "move its manifests up, or ignore this warning";
                scan.problems
                    .push(self.problem(&path, Severity::Warning, message, remedy));
            } else if !is_manifest(&path) {
            } else if scan.present.len() >= FILES_MAX {
                let message = format!("more than {FILES_MAX} files: this one is not read");
                let remedy = "put several objects into one file";
                scan.problems
                    .push(self.problem(&path, Severity::Error, message, remedy));
                break;
            } else if let Ok(metadata) = metadata {
                scan.present.insert(path.into(), Stamp::of(&metadata));
            }
        }
        scan.problems.sort_by(|a, b| a.file.cmp(&b.file));
        scan
    }

    fn problem(&self, at: &Path, severity: Severity, message: String, remedy: &str) -> Problem {
        Problem {
            severity,
            file: at.into(),
            line: 0,
            object: None,
            path: String::new(),
            value: None,
            message,
            remedy: remedy.to_owned(),
        }
    }

    /// Reads the files of a scan, whether or not they were known.
    pub(super) fn read_all(
        &mut self,
        present: &BTreeMap<Arc<Path>, Stamp>,
    ) -> BTreeMap<Arc<Path>, Option<ParsedFile>> {
        let mut files = BTreeMap::new();
        for path in present.keys() {
            if let Reading::Changed(parsed) = self.read(path) {
                files.insert(Arc::clone(path), Some(parsed));
            }
        }
        files
    }

    /// Reads one file. One that is there but cannot be read counts as changed, so that it is reported.
    pub(super) fn read(&mut self, path: &Arc<Path>) -> Reading {
        let (stamp, digest, parsed) = match load(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Reading::Missing,
            Err(error) => {
                let digest = digest_of(error.to_string().as_bytes());
                (None, digest, Loaded::Unreadable(error))
            }
            Ok((stamp, Some(bytes))) => {
                let digest = digest_of(&bytes);
                (Some(stamp), digest, Loaded::Bytes(bytes))
            }
            Ok((stamp, None)) => {
                let digest = digest_of(&stamp.size.to_be_bytes());
                (Some(stamp), digest, Loaded::TooLarge(stamp.size))
            }
        };
        let known = Known {
            stamp,
            digest: Some(digest),
        };
        let before = self.known.insert(Arc::clone(path), known);
        if before.is_some_and(|before| before.digest == known.digest) {
            return Reading::Same;
        }
        Reading::Changed(match parsed {
            Loaded::Bytes(bytes) => config::parse_file(path, &bytes),
            Loaded::TooLarge(size) => config::refuse_large_file(path, size),
            Loaded::Unreadable(error) => config::unreadable_file(path, &error),
        })
    }
}

enum Loaded {
    Bytes(Vec<u8>),
    TooLarge(u64),
    Unreadable(io::Error),
}

fn digest_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The bytes of a file; none if it is larger than what is read.
fn load(path: &Path) -> io::Result<(Stamp, Option<Vec<u8>>)> {
    let metadata = fs::metadata(path)?;
    // Opening a FIFO would wait for a writer.
    if !metadata.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not an ordinary file",
        ));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let stamp = Stamp::of(&metadata);
    if stamp.size > FILE_SIZE_MAX {
        return Ok((stamp, None));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or(0));
    // The file may grow while it is read.
    file.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    Ok((stamp, Some(bytes)))
}
