//! Set-up, build, test, demo and benchmarks.

mod bpf_toolchain;
mod error;
mod process;
mod setup;
mod terminal;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::setup::{Scope, setup};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The mesh's developer commands")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Makes this machine ready: packages, BPF toolchain, bpffs, test peers
    Setup,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<(), Error> {
    match task {
        Task::Setup => setup(Scope::Test),
    }
}
