//! Where the file systems that the mesh needs are mounted.

use crate::error::{Context, Error, Result};
use std::path::PathBuf;

/// Mount point of the cgroup v2 hierarchy.
///
/// # Errors
/// If there is none.
pub fn cgroup2() -> Result<PathBuf> {
    mount_point("cgroup2")?.ok_or_else(|| Error::Requirement {
        what: "no cgroup2 file system is mounted".to_owned(),
        remedy: "mount -t cgroup2 none /sys/fs/cgroup/unified",
    })
}

/// Mount point of a BPF file system.
///
/// # Errors
/// If there is none.
pub fn bpffs() -> Result<PathBuf> {
    mount_point("bpf")?.ok_or_else(|| Error::Requirement {
        what: "no bpf file system is mounted".to_owned(),
        remedy: "cargo xtask setup",
    })
}

/// First mount point of a file system type in `/proc/self/mountinfo`.
fn mount_point(kind: &str) -> Result<Option<PathBuf>> {
    let table =
        std::fs::read_to_string("/proc/self/mountinfo").context(|| "read /proc/self/mountinfo")?;
    // proc_pid_mountinfo(5): the fifth field is the mount point, the type follows a lone hyphen.
    Ok(table.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != kind {
            return None;
        }
        before.split(' ').nth(4).map(PathBuf::from)
    }))
}
