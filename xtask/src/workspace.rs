//! Where things lie in the source tree and below its target directory.

use std::path::{Path, PathBuf};
use std::{env, fs};

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

/// Where the programs in Go of the extra suite, and all that Go keeps, are.
#[must_use]
pub(crate) fn go_environment() -> PathBuf {
    target().join("peers")
}

/// The programs of [`go_environment`]: `client` and `server` of gRPC's interoperability tests, and `h2spec`.
#[must_use]
pub(crate) fn go_programs() -> PathBuf {
    go_environment().join("bin")
}

/// Envoy, in the Python environment.
#[must_use]
pub(crate) fn envoy() -> Option<PathBuf> {
    // The version of Python is part of the path.
    fs::read_dir(python_environment().join("lib"))
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.exists())
}

/// Where Debian's HAProxy is unpacked.
#[must_use]
pub(crate) fn haproxy_folder() -> PathBuf {
    target().join("haproxy")
}

/// What starts the unpacked HAProxy.
#[must_use]
pub(crate) fn haproxy_launcher() -> PathBuf {
    haproxy_folder().join("haproxy")
}

/// HAProxy: the machine's, else the unpacked one.
#[must_use]
pub(crate) fn haproxy() -> Option<PathBuf> {
    let unpacked = haproxy_launcher();
    which("haproxy").or_else(|| unpacked.exists().then_some(unpacked))
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
