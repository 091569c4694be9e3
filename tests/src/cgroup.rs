//! A throw-away control group.

use crate::deadline::{eventually, unique_name};
use crate::error::{Context, Error, Result};
use crate::mounts;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cgroup (v2) of one test or of one pod in it. Removed on drop; what still runs in it is killed.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a uniquely named child of the root.
    ///
    /// # Errors
    /// If cgroup2 is not mounted or the caller may not make groups.
    pub fn new() -> Result<Self> {
        Self::make(mounts::cgroup2()?.join(unique_name("test")))
    }

    /// Makes a group inside this one. Drop it before its parent.
    ///
    /// # Errors
    /// If the group cannot be made, for example because the name is taken.
    pub fn child(&self, name: &str) -> Result<Self> {
        Self::make(self.path.join(name))
    }

    fn make(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).context(|| format!("make cgroup {}", path.display()))?;
        Ok(Self { path })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// CPU time of everything that ever ran in it, in µs.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn cpu_us(&self) -> Result<u64> {
        let file = self.path.join("cpu.stat");
        let text = fs::read_to_string(&file).context(|| format!("read {}", file.display()))?;
        let usage = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        usage
            .and_then(|usage| usage.parse().ok())
            .ok_or_else(|| Error::Unreadable {
                from: file.display().to_string(),
                answer: text.clone(),
            })
    }

    /// The open file that a process writes `0` to in order to move itself in.
    pub(crate) fn entrance(&self) -> Result<OwnedFd> {
        let file = self.path.join("cgroup.procs");
        fs::OpenOptions::new()
            .write(true)
            .open(&file)
            .map(OwnedFd::from)
            .context(|| format!("open {}", file.display()))
    }

    fn remove(&self) -> Result {
        let unpopulated = || fs::remove_dir(&self.path).map_err(|error| error.to_string());
        if unpopulated().is_ok() {
            return Ok(());
        }
        fs::write(self.path.join("cgroup.kill"), "1")
            .context(|| format!("kill what is left in {}", self.path.display()))?;
        eventually("cgroup removed", Duration::from_secs(5), unpopulated)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprint_left(&self.path, &error);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a drop has no other way to say what it left behind"
)]
fn eprint_left(path: &Path, error: &Error) {
    eprintln!("left behind {}: {error}", path.display());
}
