//! Where things lie in the source tree and below its target directory.

use std::env;
use std::path::{Path, PathBuf};

use crate::process::which;

/// The root of the source tree.
#[must_use]
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the xtask package lies one level below the workspace's root")
}

/// Cargo's target directory.
#[must_use]
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The agent's release build.
#[must_use]
pub(crate) fn agent() -> PathBuf {
    release("mesh-agent")
}

/// The release build of a program.
#[must_use]
pub(crate) fn release(binary: &str) -> PathBuf {
    target().join("release").join(binary)
}

/// The Python environment with the gRPC peers of the behaviour tests.
#[must_use]
pub(crate) fn python_environment() -> PathBuf {
    target().join("venv")
}

/// The interpreter of [`python_environment`].
#[must_use]
pub(crate) fn python() -> PathBuf {
    python_environment().join("bin/python3")
}

/// Where the packages of the JavaScript peer are.
#[must_use]
pub(crate) fn node_environment() -> PathBuf {
    target().join("node")
}

/// What `NODE_PATH` has to name.
#[must_use]
pub(crate) fn node_modules() -> PathBuf {
    node_environment().join("node_modules")
}

/// Where Debian's Prometheus is unpacked.
#[must_use]
pub(crate) fn prometheus_folder() -> PathBuf {
    target().join("prometheus")
}

/// Prometheus: the machine's, else the unpacked one.
#[must_use]
pub(crate) fn prometheus() -> Option<PathBuf> {
    let unpacked = prometheus_folder().join("usr/bin/prometheus");
    which("prometheus").or_else(|| unpacked.exists().then_some(unpacked))
}
