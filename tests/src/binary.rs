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

/// One of the programs in Go (`client` and `server` of gRPC's interoperability tests, `h2spec`): `MESH_GO_PEERS`.
///
/// # Errors
/// If the variable is not set.
pub fn go_program(name: &str) -> Result<PathBuf> {
    let missing =
        "MESH_GO_PEERS does not name the folder with gRPC's interoperability programs and h2spec";
    Ok(provisioned("MESH_GO_PEERS", missing)?.join(name))
}

/// Envoy: `MESH_ENVOY`.
///
/// # Errors
/// If the variable is not set.
pub fn envoy() -> Result<PathBuf> {
    provisioned("MESH_ENVOY", "MESH_ENVOY does not name Envoy")
}

/// `HAProxy`: `MESH_HAPROXY`.
///
/// # Errors
/// If the variable is not set.
pub fn haproxy() -> Result<PathBuf> {
    provisioned("MESH_HAPROXY", "MESH_HAPROXY does not name HAProxy")
}

fn provisioned(variable: &str, missing: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).ok_or_else(|| Error::Requirement {
        what: missing.to_owned(),
        remedy: "run it with `cargo xtask` (`test`, `test --peers`, `bench`), which sets it up",
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
