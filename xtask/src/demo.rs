//! `cargo xtask demo`: builds everything and hands over to the demo program.

use std::os::unix::process::CommandExt;

use clap::Args;

use crate::build::build_agent;
use crate::error::Error;
use crate::process::{cargo, command, run};
use crate::setup::{Scope, setup};
use crate::workspace;

/// What the demo program is told.
#[derive(Args)]
pub(crate) struct DemoOptions {
    /// How long to show it
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(6..=3600))]
    seconds: u64,
    /// Prints a machine-readable summary at the end, and nothing else
    #[arg(long, conflicts_with = "keep")]
    json: bool,
    /// Goes on after the summary until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Builds the agent and the demo, then becomes the demo program, so that
/// Ctrl-C reaches nobody else.
///
/// # Errors
/// When set-up or a build fails, or the caller is not root.
pub(crate) fn demo(options: &DemoOptions) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NeedsRoot { what: "the demo" });
    }
    setup(Scope::Run)?;
    build_agent()?;
    run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "mesh-tests",
        "--bin",
        "mesh-demo",
        "--bin",
        "mesh-shop",
    ]))?;

    let program = workspace::demo();
    let mut demo = command(&program);
    demo.env("MESH_AGENT_BIN", workspace::agent())
        .args(["--seconds", &options.seconds.to_string()]);
    if options.json {
        demo.arg("--json");
    }
    if options.keep {
        demo.arg("--keep");
    }
    Err(Error::start(&program.display().to_string(), demo.exec()))
}
