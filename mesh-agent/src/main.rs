//! The node agent's entry point.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_agent::cli::execute(mesh_agent::cli::CommandLine::parse())
}
