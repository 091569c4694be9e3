//! Prometheus, which scrapes the agent in a behaviour test.
//!
//! Debian's package is unpacked, not installed: installing it would start a daemon and make a user.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::process::{capture, command, which};
use crate::setup::{Finding, Machine, Scope, Step};
use crate::workspace;

pub(super) const STEP: Step = Step {
    name: "prometheus",
    scope: Scope::Test,
    needs_root: false,
    possible: |_| which("apt-get").is_some(),
    inspect,
    carry_out,
    by_hand,
};

fn inspect(_machine: &Machine) -> Finding {
    match workspace::prometheus() {
        Some(path) => Finding::Ready(path.display().to_string()),
        None => Finding::Missing("prometheus is neither in PATH nor unpacked".to_owned()),
    }
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    let folder = workspace::prometheus_folder();
    let download = folder.join("download");
    // Nothing of an attempt that broke off is left to be taken for the package.
    if download.exists() {
        fs::remove_dir_all(&download).map_err(|error| Error::file("remove", &download, error))?;
    }
    fs::create_dir_all(&download).map_err(|error| Error::file("make", &download, error))?;
    capture(
        command("apt-get")
            .args(["download", "prometheus"])
            .current_dir(&download),
    )?;
    for package in packages(&download)? {
        capture(
            command("dpkg-deb")
                .arg("--extract")
                .arg(package)
                .arg(&folder),
        )?;
    }
    Ok(())
}

fn packages(download: &Path) -> Result<Vec<PathBuf>, Error> {
    let listing = fs::read_dir(download).map_err(|error| Error::file("list", download, error))?;
    Ok(listing.flatten().map(|entry| entry.path()).collect())
}

fn by_hand(_machine: &Machine) -> String {
    "put a prometheus (2.40 or newer) into PATH".to_owned()
}
