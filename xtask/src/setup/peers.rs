//! A Python environment with the foreign gRPC implementation of the behaviour tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process::{capture, which};
use crate::setup::{Finding, Machine, Scope, Step};
use crate::workspace;

pub(super) const STEP: Step = Step {
    name: "peers",
    scope: Scope::Test,
    needs_root: false,
    possible: |_| true,
    inspect,
    carry_out,
    by_hand,
};

/// One release of gRPC's C core, its code generator and its health service.
const REQUIREMENTS: &[&str] = &[
    "grpcio==1.85.1",
    "grpcio-tools==1.85.1",
    "grpcio-health-checking==1.85.1",
];

/// The interpreter that Debian's python3-venv belongs to.
const DEBIAN_PYTHON: &str = "/usr/bin/python3";

fn inspect(_machine: &Machine) -> Finding {
    let is_current = workspace::python().exists()
        && fs::read_to_string(stamp()).is_ok_and(|found| found == REQUIREMENTS.join("\n"));
    if is_current {
        return Finding::Ready(REQUIREMENTS.join(" "));
    }
    Finding::Missing(format!(
        "a Python environment with {}",
        REQUIREMENTS.join(" ")
    ))
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    let environment = workspace::python_environment();
    capture(
        Command::new(base_python())
            .args(["-m", "venv", "--clear"])
            .arg(&environment),
    )?;
    pip_install(REQUIREMENTS)?;
    // Written last: its presence says that everything before it succeeded.
    fs::write(stamp(), REQUIREMENTS.join("\n"))
        .map_err(|error| Error::file("write", stamp(), error))
}

/// Installs packages from PyPI into the Python environment.
pub(super) fn pip_install(requirements: &[&str]) -> Result<(), Error> {
    let quietly = ["--quiet", "--disable-pip-version-check"];
    let mut pip = Command::new(workspace::python());
    pip.args(["-m", "pip", "install"]).args(quietly);
    capture(pip.args(requirements))?;
    Ok(())
}

fn by_hand(_machine: &Machine) -> String {
    let environment = workspace::python_environment();
    format!(
        "python3 -m venv {0} && {0}/bin/pip install {1}",
        environment.display(),
        REQUIREMENTS.join(" ")
    )
}

fn base_python() -> PathBuf {
    if Path::new(DEBIAN_PYTHON).exists() {
        return PathBuf::from(DEBIAN_PYTHON);
    }
    which("python3").unwrap_or_else(|| PathBuf::from("python3"))
}

fn stamp() -> PathBuf {
    workspace::python_environment().join("requirements.stamp")
}
