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
    /// Instructions that the verifier went through, on every path; `None`: the kernel does not tell (before 5.16).
    pub verified_instructions: Option<u32>,
    /// Whether its link is pinned, which is what keeps it attached.
    pub is_attached: bool,
}

/// Every program of the contract and whether it is in force, read from the pins in `bpffs`.
#[must_use]
pub fn attached_programs(bpffs: &Path) -> Vec<AttachedProgram> {
    let version = bpffs.join(format!("v{ABI_VERSION}"));
    let programs = names::PROGRAMS.into_iter();
    programs
        .map(|name| {
            let program = ProgramInfo::from_pin(version.join("programs").join(name)).ok();
            AttachedProgram {
                name,
                id: program.as_ref().map_or(0, ProgramInfo::id),
                verified_instructions: program
                    .as_ref()
                    .and_then(ProgramInfo::verified_instruction_count),
                is_attached: PinnedLink::from_pin(version.join("links").join(name)).is_ok(),
            }
        })
        .collect()
}
