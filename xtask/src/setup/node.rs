//! The gRPC implementation in JavaScript of the behaviour tests.

use std::fs;
use std::path::PathBuf;

use crate::error::Error;
use crate::process::{capture, command};
use crate::setup::{Finding, Machine, Scope, Step};
use crate::workspace;

pub(super) const STEP: Step = Step {
    name: "grpc-js",
    scope: Scope::Test,
    needs_root: false,
    possible: |_| true,
    inspect,
    carry_out,
    by_hand,
};

/// What pins every version: the packages' own names and checksums.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

const MISSING: &str = "the packages of tests/peers/package-lock.json (@grpc/grpc-js and what it needs) from registry.npmjs.org, \
                       or from the registry that npm is configured for";

fn inspect(_machine: &Machine) -> Finding {
    let wanted = fs::read_to_string(source(FILES[1]));
    let is_current =
        matches!((wanted, fs::read_to_string(stamp())), (Ok(wanted), Ok(found)) if wanted == found);
    if is_current {
        return Finding::Ready(workspace::node_modules().display().to_string());
    }
    Finding::Missing(MISSING.to_owned())
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    let folder = workspace::node_environment();
    fs::create_dir_all(&folder).map_err(|error| Error::file("make", &folder, error))?;
    for file in FILES {
        let to = folder.join(file);
        fs::copy(source(file), &to).map_err(|error| Error::file("write", &to, error))?;
    }
    capture(
        command("npm")
            .args([
                "ci",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--prefix",
            ])
            .arg(&folder),
    )?;
    // Written last: its presence says that everything before it succeeded.
    fs::copy(source(FILES[1]), stamp())
        .map(drop)
        .map_err(|error| Error::file("write", stamp(), error))
}

fn by_hand(_machine: &Machine) -> String {
    let folder = workspace::node_environment();
    format!(
        "{MISSING}: mkdir -p {0} && cp tests/peers/package*.json {0} && npm ci --ignore-scripts --prefix {0}",
        folder.display()
    )
}

fn source(file: &str) -> PathBuf {
    workspace::root().join("tests/peers").join(file)
}

fn stamp() -> PathBuf {
    workspace::node_environment().join("installed.stamp")
}
