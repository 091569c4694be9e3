//! gRPC's own interoperability programs and `h2spec`, which are written in Go.

use std::fs;
use std::path::PathBuf;

use crate::error::Error;
use crate::process::{capture, command, which};
use crate::setup::{Finding, Machine, Scope, Step};
use crate::workspace;

pub(super) const STEP: Step = Step {
    name: "go",
    scope: Scope::GoPeers,
    needs_root: false,
    possible: |_| which("go").is_some(),
    inspect,
    carry_out,
    by_hand,
};

/// What pins every version: the modules' names, versions and checksums.
const FILES: [&str; 2] = ["go.mod", "go.sum"];

fn inspect(_machine: &Machine) -> Finding {
    if pins().is_some_and(|pins| fs::read_to_string(stamp()).is_ok_and(|found| found == pins)) {
        return Finding::Ready(workspace::go_programs().display().to_string());
    }
    let go = match which("go") {
        Some(_) => "",
        None => "go (1.26 or newer) is not in PATH; with it, ",
    };
    Finding::Missing(format!("{go}the programs of tests/peers/go/go.mod"))
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    let folder = workspace::go_environment();
    fs::create_dir_all(&folder).map_err(|error| Error::file("make", &folder, error))?;
    // Nothing of it lands outside of the target directory, and `cargo clean` can remove all of it.
    capture(
        command("go")
            .args(["install", "-buildvcs=false", "-modcacherw", "tool"])
            .current_dir(source())
            .env("GOBIN", workspace::go_programs())
            .env("GOPATH", folder.join("go"))
            .env_remove("GOMODCACHE")
            .env("GOCACHE", folder.join("cache"))
            .env("GOFLAGS", "")
            .env("GOTOOLCHAIN", "local"),
    )?;
    // Written last: its presence says that everything before it succeeded.
    fs::write(stamp(), pins().unwrap_or_default())
        .map_err(|error| Error::file("write", stamp(), error))
}

fn by_hand(_machine: &Machine) -> String {
    "put go (1.26 or newer, https://go.dev/dl) into PATH; it fetches the modules of tests/peers/go/go.sum from \
     proxy.golang.org, or from what GOPROXY names"
        .to_owned()
}

fn source() -> PathBuf {
    workspace::root().join("tests/peers/go")
}

fn pins() -> Option<String> {
    FILES
        .into_iter()
        .map(|file| fs::read_to_string(source().join(file)).ok())
        .collect()
}

fn stamp() -> PathBuf {
    workspace::go_environment().join("installed.stamp")
}
