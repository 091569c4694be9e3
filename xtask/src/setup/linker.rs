//! `bpf-linker`: turns rustc's bitcode into a BPF object.

use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process::{capture, command, set_path, which};
use crate::setup::{Finding, Machine, Scope, Step};

pub(super) const STEP: Step = Step {
    name: "linker",
    scope: Scope::Build,
    needs_root: false,
    possible: |_| true,
    inspect,
    carry_out,
    by_hand,
};

const VERSION: &str = "0.13.0";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";
const LLVM_FEATURE: &str = "llvm-22";

/// Whether some `bpf-linker` is in `PATH` and starts.
pub(super) fn is_installed() -> bool {
    found().is_some()
}

fn found() -> Option<(PathBuf, String)> {
    let path = which("bpf-linker")?;
    let version = capture(Command::new(&path).arg("--version")).ok()?;
    Some((path, version.trim().to_owned()))
}

fn inspect(_machine: &Machine) -> Finding {
    found().map_or_else(
        || Finding::Missing("bpf-linker is not in PATH".to_owned()),
        |(path, version)| Finding::Ready(format!("{version}, {}", path.display())),
    )
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    let mut install = command("cargo");
    install
        .args(install_arguments())
        .env("LLVM_PREFIX", LLVM_PREFIX);
    set_path(&mut install, iter::once(Path::new(LLVM_PREFIX).join("bin")));
    capture(&mut install)?;
    Ok(())
}

fn by_hand(_machine: &Machine) -> String {
    format!(
        "LLVM_PREFIX={LLVM_PREFIX} cargo {}; and have cargo's bin directory in PATH",
        install_arguments().join(" ")
    )
}

fn install_arguments() -> [&'static str; 8] {
    [
        "install",
        "bpf-linker",
        "--locked",
        "--version",
        VERSION,
        "--no-default-features",
        "--features",
        LLVM_FEATURE,
    ]
}
