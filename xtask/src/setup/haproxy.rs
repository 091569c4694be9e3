//! HAProxy, which a benchmark compares the mesh with.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::error::Error;
use crate::process::which;
use crate::setup::unpack::unpack;
use crate::setup::{Finding, Machine, Scope, Step};
use crate::workspace;

pub(super) const STEP: Step = Step {
    name: "haproxy",
    scope: Scope::Rivals,
    needs_root: true,
    possible: |_| which("apt-get").is_some(),
    inspect,
    carry_out,
    by_hand,
};

/// Starts the unpacked program with the libraries that were unpacked beside it.
const LAUNCHER: &str = r#"#!/bin/sh
here=$(dirname "$0")
for libraries in "$here"/usr/lib/*-linux-gnu; do
    LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
done
export LD_LIBRARY_PATH
exec "$here/usr/sbin/haproxy" "$@"
"#;

fn inspect(_machine: &Machine) -> Finding {
    match workspace::haproxy() {
        Some(path) => Finding::Ready(path.display().to_string()),
        None => Finding::Missing("haproxy is neither in PATH nor unpacked".to_owned()),
    }
}

fn carry_out(_machine: &Machine) -> Result<(), Error> {
    unpack("haproxy", &workspace::haproxy_folder())?;
    // Written last: its presence says that everything before it succeeded.
    let launcher = workspace::haproxy_launcher();
    fs::write(&launcher, LAUNCHER)
        .and_then(|()| fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)))
        .map_err(|error| Error::file("write", &launcher, error))
}

fn by_hand(_machine: &Machine) -> String {
    "put a haproxy (2.6 or newer) into PATH".to_owned()
}
