//! The directory that an agent reads manifests from.

use crate::error::{Context, Result};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A configuration directory, with a place beside it where files are written before they are moved in.
#[derive(Debug)]
pub struct ConfigDir {
    place: TempDir,
}

impl ConfigDir {
    /// Makes an empty one.
    ///
    /// # Errors
    /// If the temporary directory is not writable.
    pub fn new() -> Result<Self> {
        let place = tempfile::tempdir().context(|| "make a temporary directory")?;
        let made = Self { place };
        fs::create_dir(made.path()).context(|| "make a configuration directory")?;
        fs::create_dir(made.scratch()).context(|| "make a directory for half-written files")?;
        Ok(made)
    }

    /// What the agent is given.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path().join("config")
    }

    /// A directory on the same file system that the agent does not read.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.place.path().join("scratch")
    }

    /// Puts a file in place as editors and operators do: written aside, then renamed, so that no
    /// reader meets half of it.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn put(&self, name: &str, text: &str) -> Result {
        self.put_at(name, text, || ())
    }

    /// [`ConfigDir::put`] that looks at the clock just before the rename.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn put_at<T>(&self, name: &str, text: &str, clock: impl FnOnce() -> T) -> Result<T> {
        let aside = self.scratch().join(name);
        fs::write(&aside, text).context(|| format!("write {}", aside.display()))?;
        let target = self.path().join(name);
        let now = clock();
        fs::rename(&aside, &target).context(|| format!("rename to {}", target.display()))?;
        Ok(now)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If it is not there.
    pub fn remove(&self, name: &str) -> Result {
        let target = self.path().join(name);
        fs::remove_file(&target).context(|| format!("remove {}", target.display()))
    }

    /// Publishes files as the kubelet publishes a `ConfigMap`: `..<version>/file`, `..data` swapped to it by rename,
    /// and `file` a link through `..data`.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn publish_config_map(&self, version: &str, files: &[(&str, &str)]) -> Result {
        let versioned = format!("..{version}");
        let directory = self.path().join(&versioned);
        fs::create_dir(&directory).context(|| format!("make {}", directory.display()))?;
        for (name, text) in files {
            fs::write(directory.join(name), text).context(|| format!("write {name}"))?;
        }
        let next = self.path().join("..data_tmp");
        symlink(&versioned, &next).context(|| format!("link {}", next.display()))?;
        let current = self.path().join("..data");
        let previous = fs::read_link(&current).ok();
        fs::rename(&next, &current).context(|| format!("rename to {}", current.display()))?;
        for (name, _) in files {
            let link = self.path().join(name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(name), &link)
                    .context(|| format!("link {}", link.display()))?;
            }
        }
        if let Some(previous) = previous {
            let old = self.path().join(previous);
            fs::remove_dir_all(&old).context(|| format!("remove {}", old.display()))?;
        }
        Ok(())
    }
}
