//! The directory of pins: what keeps programs, links and maps alive without an agent.
//!
//! ```text
//! <bpffs>/            held with flock(2) by the running agent
//! ├── v1/             in force: links/ programs/ maps/
//! └── v1-next/        being prepared; a leftover of a crash is removed
//! ```
//!
//! A bpffs takes no names with a dot. Removing the links detaches the programs: `rm -r <bpffs>` is the emergency off switch.

use super::KernelError;
use super::mounts::{USUAL_BPFFS, open_directory, would_be_on_bpffs};
use mesh_common::ABI_VERSION;
use rustix::fs::{FlockOperation, flock, fstat};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Subdirectories, in the order in which they are removed: a program without its maps must not run.
const PARTS: [&str; 3] = ["links", "programs", "maps"];

/// The pin directory of one agent, held against others as long as this value lives.
#[derive(Debug)]
pub(super) struct Pins {
    path: PathBuf,
    /// Whether the directory was not there before.
    is_new: bool,
    /// Locked; closing it lets others have the directory.
    _held: OwnedFd,
}

impl Pins {
    /// Makes the directory if need be and holds it.
    ///
    /// # Errors
    ///
    /// It is not on a bpffs, or another agent holds it.
    pub(super) fn hold(path: &Path) -> Result<Self, KernelError> {
        require_bpffs(path)?;
        let is_new = !path.exists();
        fs::create_dir_all(path).map_err(KernelError::io("make the directory", path))?;
        let held = open_directory("open", path)?;
        lock(path, &held)?;
        Ok(Self {
            path: path.to_owned(),
            is_new,
            _held: held,
        })
    }

    /// Holds the directory if it is there.
    ///
    /// # Errors
    ///
    /// It is not on a bpffs, or another agent holds it.
    pub(super) fn hold_existing(path: &Path) -> Result<Option<Self>, KernelError> {
        if !path.exists() {
            return Ok(None);
        }
        Self::hold(path).map(Some)
    }

    /// Where programs, links and maps in force are pinned.
    pub(super) fn current(&self) -> PathBuf {
        self.path.join(format!("v{ABI_VERSION}"))
    }

    /// Makes empty directories for the next pins.
    pub(super) fn prepare(&self) -> Result<NextPins, KernelError> {
        let next = NextPins(self.path.join(format!("v{ABI_VERSION}-next")));
        remove_version(&next.0)?;
        for part in PARTS {
            let part = next.0.join(part);
            if let Err(error) = fs::create_dir_all(&part) {
                next.abandon()?;
                return Err(KernelError::io("make the directory", &part)(error));
            }
        }
        Ok(next)
    }

    /// Puts the next pins into the place of the current ones, whose links are removed first.
    pub(super) fn replace(&self, next: &NextPins) -> Result<(), KernelError> {
        for version in versions(&self.path)? {
            if version != next.0 {
                remove_version(&version)?;
            }
        }
        fs::rename(&next.0, self.current()).map_err(KernelError::io("rename the pins", &next.0))
    }

    /// Removes every pin, then the directory; returns what was removed.
    pub(super) fn remove(self) -> Result<Vec<PathBuf>, KernelError> {
        let mut removed = Vec::new();
        for version in versions(&self.path)? {
            removed.extend(remove_version(&version)?);
        }
        match fs::remove_dir(&self.path) {
            Ok(()) => removed.push(self.path.clone()),
            // The mount point itself, or it holds what is not ours.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ResourceBusy | ErrorKind::DirectoryNotEmpty
                ) => {}
            Err(error) => return Err(KernelError::io("remove the directory", &self.path)(error)),
        }
        Ok(removed)
    }
}

impl Drop for Pins {
    /// A start that failed leaves no empty directory behind; one with pins in force stays, as it cannot be removed.
    fn drop(&mut self) {
        if self.is_new {
            fs::remove_dir(&self.path).ok();
        }
    }
}

/// Pins that are being prepared.
#[derive(Debug)]
pub(super) struct NextPins(PathBuf);

impl NextPins {
    /// Where the link of a program is pinned.
    pub(super) fn link(&self, program: &str) -> PathBuf {
        self.0.join("links").join(program)
    }

    /// Where a program is pinned.
    pub(super) fn program(&self, program: &str) -> PathBuf {
        self.0.join("programs").join(program)
    }

    /// Where a map is pinned.
    pub(super) fn map(&self, map: &str) -> PathBuf {
        self.0.join("maps").join(map)
    }

    /// Takes everything away again.
    pub(super) fn abandon(self) -> Result<(), KernelError> {
        remove_version(&self.0).map(drop)
    }
}

/// Names the process that holds a pin directory; `None` if nobody does.
pub(super) fn holder(path: &Path) -> Option<String> {
    let directory = open_directory("open", path).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockShared)
        .is_err()
        .then(|| name_holder(&directory))
}

/// Pins of agents of any version, finished or not. Whatever else is there is not ours.
pub(super) fn versions(path: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let mut paths = list(path)?;
    paths.retain(|path| is_version(path));
    Ok(paths)
}

/// Whether a directory is named `v<number>` or `v<number>-next`.
fn is_version(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_prefix('v'))
        .map(|name| name.strip_suffix("-next").unwrap_or(name))
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Says how to get a bpffs if `path` is not on one.
pub(super) fn require_bpffs(path: &Path) -> Result<(), KernelError> {
    if would_be_on_bpffs(path) {
        return Ok(());
    }
    let mount_point = if path.starts_with(USUAL_BPFFS) {
        Path::new(USUAL_BPFFS)
    } else {
        path.parent().unwrap_or(path)
    };
    Err(KernelError::NotBpffs {
        path: path.to_owned(),
        mount_point: mount_point.to_owned(),
    })
}

fn lock(path: &Path, directory: &OwnedFd) -> Result<(), KernelError> {
    match flock(directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(KernelError::Held {
            path: path.to_owned(),
            holder: name_holder(directory),
        }),
        Err(errno) => Err(KernelError::io("lock", path)(errno.into())),
    }
}

/// Looks the holder up in `/proc/locks`: `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF`.
fn name_holder(directory: &OwnedFd) -> String {
    let inode = fstat(directory).map(|facts| facts.st_ino).ok();
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_flock = fields.next()? == "FLOCK";
        let pid = fields.nth(2)?;
        let (_, found) = fields.next()?.rsplit_once(':')?;
        (is_flock && found.parse().ok() == inode).then(|| pid.to_owned())
    });
    let Some(pid) = pid else {
        return "a process this one cannot see".to_owned();
    };
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {pid} {}", command.trim_end())
        .trim_end()
        .to_owned()
}

/// Removes the pins of one version, links first, and its directory; what is not there is no error.
fn remove_version(version: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let mut removed = Vec::new();
    for part in PARTS {
        let part = version.join(part);
        for pin in list(&part)? {
            fs::remove_file(&pin).map_err(KernelError::io("remove the pin", &pin))?;
            removed.push(pin);
        }
        remove_directory(&part)?;
    }
    remove_directory(version)?;
    Ok(removed)
}

fn remove_directory(path: &Path) -> Result<(), KernelError> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(KernelError::io("remove the directory", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is in a directory, in order; nothing if it is not there.
fn list(path: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(KernelError::io("list", path)(error)),
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(KernelError::io("list", path))?;
    paths.sort();
    Ok(paths)
}
