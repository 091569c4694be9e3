//! Which Rust toolchain compiles the kernel programs, decided by looking.
//!
//! `cargo xtask setup` and the agent's build script must agree, so both
//! include this file, which depends on `std` alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The name under which the distribution's toolchain is linked into rustup.
pub(crate) const LINKED_NAME: &str = "mesh-bpf";

/// A toolchain that can build `core` for a BPF target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BpfToolchain {
    /// rustup's nightly, with its `rust-src` component.
    Nightly,
    /// The toolchain linked as [`LINKED_NAME`]; needs `RUSTC_BOOTSTRAP=1`.
    Linked,
    /// The only toolchain of a machine without rustup; needs `RUSTC_BOOTSTRAP=1`.
    Plain,
}

impl BpfToolchain {
    /// Finds a toolchain that has the sources of `core`, or nothing.
    #[must_use]
    pub(crate) fn find() -> Option<Self> {
        if !rustup_exists() {
            return has_core_sources(rustc()).then_some(Self::Plain);
        }
        if has_core_sources(rustc_of("nightly")) {
            Some(Self::Nightly)
        } else if has_core_sources(rustc_of(LINKED_NAME)) {
            Some(Self::Linked)
        } else {
            None
        }
    }

    /// The name to hand to `rustup run`.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nightly => "nightly",
            Self::Linked | Self::Plain => LINKED_NAME,
        }
    }

    /// Whether `RUSTC_BOOTSTRAP=1` is needed for `-Z build-std`.
    #[must_use]
    pub(crate) fn needs_bootstrap(self) -> bool {
        self != Self::Nightly
    }
}

/// Whether toolchains are chosen by rustup on this machine.
#[must_use]
pub(crate) fn rustup_exists() -> bool {
    quiet(Command::new("rustup").arg("--version")).is_some()
}

fn rustc() -> Command {
    Command::new("rustc")
}

fn rustc_of(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "rustc"]);
    command
}

fn has_core_sources(mut rustc: Command) -> bool {
    quiet(rustc.args(["--print", "sysroot"]))
        .is_some_and(|sysroot| library_sources(Path::new(sysroot.trim())).is_dir())
}

fn library_sources(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library/core")
}

fn quiet(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
