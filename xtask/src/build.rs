//! `cargo xtask build`: the release programs.

use crate::error::Error;
use crate::process::{cargo, run};
use crate::terminal::note;
use crate::workspace;

/// Builds the agent, with the kernel programs inside.
///
/// # Errors
/// When cargo does not succeed.
pub(crate) fn build_agent() -> Result<(), Error> {
    run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "mesh-agent",
    ]))?;
    note(format_args!("built {}", workspace::agent().display()));
    Ok(())
}
