//! Which programs are in force, as their pins tell.

use aya::programs::ProgramInfo;
use aya::programs::links::PinnedLink;
use mesh_common::{ABI_VERSION, names};
use std::path::Path;

/// A pinned program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Its name.
    pub name: &'static str,
    /// Its id in the kernel; 0: it is not pinned.
    pub id: u32,
    /// Whether its link is pinned, which is what keeps it attached.
    pub is_attached: bool,
}

/// Every program of the contract and whether it is in force, read from the pins in `bpffs`.
#[must_use]
pub fn attached_programs(bpffs: &Path) -> Vec<AttachedProgram> {
    let version = bpffs.join(format!("v{ABI_VERSION}"));
    let programs = names::PROGRAMS.into_iter();
    programs
        .map(|name| AttachedProgram {
            name,
            id: ProgramInfo::from_pin(version.join("programs").join(name))
                .map_or(0, |program| program.id()),
            is_attached: PinnedLink::from_pin(version.join("links").join(name)).is_ok(),
        })
        .collect()
}
