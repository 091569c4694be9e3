//! Where the programs under test are.

use crate::error::{Context, Error, Result};
use std::env;
use std::path::{Path, PathBuf};

/// The agent: `MESH_AGENT_BIN`, else `target/release/mesh-agent`.
///
/// # Errors
/// If it has not been built.
pub fn agent() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/mesh-agent");
    existing("mesh-agent", "MESH_AGENT_BIN", workspace)
}

/// A program of this package (`mesh-peer`), which cargo puts beside the tests' own programs.
///
/// # Errors
/// If it has not been built.
pub fn peer(name: &'static str) -> Result<PathBuf> {
    let own = env::current_exe().context(|| "find the running program")?;
    let beside = own.with_file_name(name);
    if beside.exists() {
        return Ok(beside);
    }
    // A test runs from `target/<profile>/deps`, one below.
    let above = own
        .parent()
        .and_then(Path::parent)
        .map(|folder| folder.join(name));
    existing(name, "MESH_PEER_BIN", above.unwrap_or(beside))
}

/// The Python that has grpcio: `MESH_PYTHON`.
///
/// # Errors
/// If the variable is not set, or names no file.
pub fn python() -> Result<PathBuf> {
    provisioned(
        "MESH_PYTHON",
        "MESH_PYTHON does not name a Python with grpcio",
    )
}

/// The folder that has grpc-js: `MESH_NODE_MODULES`.
///
/// # Errors
/// If the variable is not set.
pub fn node_modules() -> Result<PathBuf> {
    provisioned(
        "MESH_NODE_MODULES",
        "MESH_NODE_MODULES does not name a folder with @grpc/grpc-js",
    )
}

/// Prometheus: `MESH_PROMETHEUS`.
///
/// # Errors
/// If the variable is not set.
pub fn prometheus() -> Result<PathBuf> {
    provisioned(
        "MESH_PROMETHEUS",
        "MESH_PROMETHEUS does not name Prometheus",
    )
}

fn provisioned(variable: &str, missing: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).ok_or_else(|| Error::Requirement {
        what: missing.to_owned(),
        remedy: "run the tests with `cargo xtask test`, which sets it up",
    })?;
    Ok(PathBuf::from(path))
}

fn existing(name: &'static str, variable: &'static str, default: PathBuf) -> Result<PathBuf> {
    let path = env::var_os(variable).map_or(default, PathBuf::from);
    if path.exists() {
        return Ok(path);
    }
    Err(Error::NotBuilt {
        name,
        path,
        variable,
    })
}
