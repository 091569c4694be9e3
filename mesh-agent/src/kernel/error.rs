//! What can go wrong between the agent and the kernel: what was attempted, on what, and the remedy. A message
//! tells the cause too, so that nobody need walk a chain of sources.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

/// An error of the kernel room. Unless a variant says otherwise nothing is left half done and trying again is safe.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No cgroup2 file system is mounted.
    #[error(
        "no cgroup2 mount found in /proc/self/mountinfo; mount one (mount -t cgroup2 none /sys/fs/cgroup/unified) or name its path with --cgroup"
    )]
    NoCgroup2Mount,
    /// The path given as cgroup lies on another file system.
    #[error("{path} is not a directory of a cgroup2 file system; name one with --cgroup{hint}")]
    NotCgroup2 {
        /// The path given.
        path: PathBuf,
        /// Where a cgroup2 mount is, ready to be appended.
        hint: String,
    },
    /// The pin directory lies on another file system.
    #[error("{path} is not on a bpf file system; mount one with: mount -t bpf bpf {mount_point}")]
    NotBpffs {
        /// The pin directory.
        path: PathBuf,
        /// Where a bpffs is usually mounted.
        mount_point: PathBuf,
    },
    /// Another agent holds the pin directory.
    #[error(
        "{path} is held by another agent ({holder}); stop it, or give this one its own --bpffs and --cgroup"
    )]
    Held {
        /// The pin directory.
        path: PathBuf,
        /// Process id and name of the holder, as far as known.
        holder: String,
    },
    /// A file system operation failed.
    #[error("cannot {action} {path}: {cause}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// A system call that concerns no file failed.
    #[error("cannot {action}: {cause}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// The agent was built without the kernel programs.
    #[error(
        "this agent was built without the kernel programs (AYA_BUILD_SKIP was set); build it with `cargo xtask build`"
    )]
    NoPrograms,
    /// The kernel refused the object file: a map, a global or BTF.
    #[error(
        "cannot load the kernel object: {cause}; `mesh-agent check` tells which kernel feature is missing"
    )]
    Load {
        /// The loader's answer.
        cause: Cause,
    },
    /// The object lacks a program or map that the contract names: agent and programs are of different builds.
    #[error(
        "the kernel object has no {kind} `{name}`; rebuild agent and programs together with `cargo xtask build`"
    )]
    Missing {
        /// `program` or `map`.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A program was refused, or could not be attached.
    #[error("cannot {action} program `{program}`: {cause}{remedy}")]
    Program {
        /// `load`, `pin` or `attach`.
        action: &'static str,
        /// The program.
        program: &'static str,
        /// The kernel's answer.
        cause: Cause,
        /// What to do, ready to be appended.
        remedy: String,
    },
    /// A map refused an operation.
    #[error("cannot {action} map `{map}`: {cause}")]
    Map {
        /// What was attempted.
        action: &'static str,
        /// The map.
        map: &'static str,
        /// The kernel's answer.
        cause: Cause,
    },
    /// Something could not be pinned.
    #[error("cannot pin {path}: {cause}")]
    Pin {
        /// The pin.
        path: PathBuf,
        /// The kernel's answer.
        cause: Cause,
    },
    /// The programs were attached by this [`super::Syncer`] already.
    #[error("the programs are attached already")]
    Attached,
}

/// An error of aya with everything that it wraps, in one sentence: its own texts leave the errno to the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(String);

impl Cause {
    /// Writes the whole chain down.
    pub(super) fn new(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let part = error.to_string();
            // Transparent errors say the same again.
            if !text.ends_with(&part) {
                text = format!("{text}: {part}");
            }
            source = error.source();
        }
        Self(text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KernelError {
    /// Makes the context of a failed file system operation.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io {
            action,
            path,
            cause,
        }
    }

    /// Makes the context of a failed system call.
    pub(super) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            cause: source.into(),
        }
    }

    /// Makes the context of a failed map operation.
    pub(super) fn map(
        action: &'static str,
        map: &'static str,
    ) -> impl FnOnce(aya::maps::MapError) -> Self {
        move |source| Self::Map {
            action,
            map,
            cause: Cause::new(&source),
        }
    }
}
