//! Takes everything away: programs, links, maps, pins, directories.

use super::KernelError;
use super::mounts;
use super::pins::Pins;
use std::path::{Path, PathBuf};

/// What was taken away.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct UnloadReport {
    /// Pins and directories removed, in this order: links first, so that programs were detached before their
    /// maps went.
    pub removed: Vec<PathBuf>,
}

/// Removes every pin in `bpffs` and the directory, which detaches and unloads the programs. Nothing there is
/// no error. Works without a running agent.
///
/// # Errors
///
/// An agent is running (it is named), or something could not be removed.
pub fn unload(cgroup: &Path, bpffs: &Path) -> Result<UnloadReport, KernelError> {
    // A mistyped cgroup should not look like success.
    mounts::open_cgroup(cgroup)?;
    let Some(pins) = Pins::hold_existing(bpffs)? else {
        return Ok(UnloadReport::default());
    };
    Ok(UnloadReport {
        removed: pins.remove()?,
    })
}
