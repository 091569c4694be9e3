//! The kernel programs: loaded, attached to the cgroup, pinned.

use super::KernelError;
use super::error::Cause;
use super::pins::NextPins;
use aya::Ebpf;
use aya::programs::links::{FdLink, LinkError};
use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program, ProgramError};
use mesh_common::names;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Loaded programs that are not attached yet.
#[derive(Debug)]
pub(super) struct Programs {
    object: Ebpf,
    cgroup: OwnedFd,
}

impl Programs {
    /// Has the kernel verify every program.
    pub(super) fn load(mut object: Ebpf, cgroup: OwnedFd) -> Result<Self, KernelError> {
        for name in names::PROGRAMS {
            let program = program(&mut object, name)?;
            load(program).map_err(refused("load", name, ""))?;
        }
        Ok(Self { object, cgroup })
    }

    /// Pins the programs, attaches them and pins the links.
    ///
    /// Links allow other programs beside them by nature, so the mode says nothing; any other one than
    /// `Single` is an error for links.
    pub(super) fn attach(&mut self, pins: &NextPins) -> Result<(), KernelError> {
        let Self { object, cgroup } = self;
        for name in names::PROGRAMS {
            let program = program(object, name)?;
            let path = pins.program(name);
            program.pin(&path).map_err(not_pinned(path))?;
        }
        for name in names::PROGRAMS {
            let program = program(object, name)?;
            let link =
                attach(program, name, cgroup.as_fd()).map_err(refused("attach", name, CONFLICT))?;
            let path = pins.link(name);
            link.pin(&path).map_err(not_pinned(path))?;
        }
        Ok(())
    }
}

const CONFLICT: &str =
    "; another program on this cgroup or above it may forbid it: `mesh-agent check` names it";

fn program<'a>(object: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Program, KernelError> {
    object.program_mut(name).ok_or(KernelError::Missing {
        kind: "program",
        name,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the contract has these types of programs only"
)]
fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::SockOps(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the contract has these types of programs only"
)]
fn attach(
    program: &mut Program,
    name: &str,
    cgroup: BorrowedFd<'_>,
) -> Result<FdLink, ProgramError> {
    let mode = CgroupAttachMode::Single;
    let link: Result<FdLink, LinkError> = match program {
        Program::CgroupSockAddr(program) => {
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()
        }
        Program::CgroupSkb(program) => {
            let direction = if name == names::METER_EGRESS {
                CgroupSkbAttachType::Egress
            } else {
                CgroupSkbAttachType::Ingress
            };
            let id = program.attach(cgroup, direction, mode)?;
            program.take_link(id)?.try_into()
        }
        Program::CgroupSock(program) => {
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()
        }
        Program::SockOps(program) => {
            let id = program.attach(cgroup, mode)?;
            program.take_link(id)?.try_into()
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    };
    // Kernels before 5.7 have no links.
    link.map_err(|_| ProgramError::NotAttached)
}

fn refused(
    action: &'static str,
    program: &'static str,
    remedy: &'static str,
) -> impl FnOnce(ProgramError) -> KernelError {
    move |source| KernelError::Program {
        action,
        program,
        cause: Cause::new(&source),
        remedy: remedy.to_owned(),
    }
}

fn not_pinned(path: std::path::PathBuf) -> impl FnOnce(aya::pin::PinError) -> KernelError {
    move |source| KernelError::Pin {
        path,
        cause: Cause::new(&source),
    }
}
