//! Where things lie in the source tree and below its target directory.

use std::env;
use std::path::{Path, PathBuf};

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
