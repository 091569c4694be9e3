//! The toolchain that compiles the kernel programs.

use std::process::Command;

use crate::bpf_toolchain::{BpfToolchain, LINKED_NAME};
use crate::error::Error;
use crate::process::capture;
use crate::setup::{Finding, Machine, Scope, Step};

pub(super) const STEP: Step = Step {
    name: "toolchain",
    scope: Scope::Build,
    needs_root: false,
    possible: |machine| machine.has_rustup,
    inspect,
    carry_out,
    by_hand,
};

fn inspect(machine: &Machine) -> Finding {
    match BpfToolchain::find() {
        Some(BpfToolchain::Plain) => Finding::Ready("the only one, with its sources".to_owned()),
        Some(toolchain) if toolchain.needs_bootstrap() => {
            Finding::Ready(format!("{} with RUSTC_BOOTSTRAP=1", toolchain.name()))
        }
        Some(toolchain) => Finding::Ready(format!("{} with rust-src", toolchain.name())),
        None if machine.has_rustup => Finding::Missing(
            "neither nightly with rust-src nor the distribution's one is in rustup".to_owned(),
        ),
        None => Finding::Missing("this rustc has no sources of its library".to_owned()),
    }
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    capture(Command::new("rustup").args(["toolchain", "link", LINKED_NAME, "/usr"]))?;
    Ok(())
}

fn by_hand(machine: &Machine) -> String {
    if machine.has_rustup {
        return format!(
            "rustup toolchain install nightly --component rust-src; \
             or, with Debian's packages: rustup toolchain link {LINKED_NAME} /usr"
        );
    }
    "install rust-web-src (Debian) or use rustup".to_owned()
}
