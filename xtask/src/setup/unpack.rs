//! Packages of Debian that are unpacked, not installed: installing them would start daemons and make users.

use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::process::{capture, command};

/// Fetches a package with all that it needs and the machine has not, and unpacks everything below `folder`. Needs root.
///
/// # Errors
/// When a package cannot be fetched or unpacked.
pub(super) fn unpack(package: &str, folder: &Path) -> Result<(), Error> {
    let download = folder.join("download");
    // Nothing of an attempt that broke off is left to be taken for the package.
    if download.exists() {
        fs::remove_dir_all(&download).map_err(|error| Error::file("remove", &download, error))?;
    }
    // apt-get insists on a folder for what it has begun to fetch.
    let begun = download.join("partial");
    fs::create_dir_all(&begun).map_err(|error| Error::file("make", &begun, error))?;
    capture(
        command("apt-get")
            .args([
                "install",
                "--download-only",
                "--yes",
                "--no-install-recommends",
            ])
            .arg("--option")
            .arg(format!("Dir::Cache::archives={}", download.display()))
            .arg(package),
    )?;
    let listing = fs::read_dir(&download).map_err(|error| Error::file("list", &download, error))?;
    let packages = listing
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "deb"));
    for package in packages {
        capture(
            command("dpkg-deb")
                .arg("--extract")
                .arg(package)
                .arg(folder),
        )?;
    }
    Ok(())
}
