//! Set-up, build, test, demo and benchmarks.

mod bench;
mod bpf_toolchain;
mod build;
mod demo;
mod error;
mod fuzz;
mod process;
mod program;
mod setup;
mod terminal;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::{BenchOptions, bench};
use crate::build::build_agent;
use crate::demo::{DemoOptions, demo};
use crate::error::Error;
use crate::fuzz::{FuzzOptions, fuzz};
use crate::setup::{Scope, setup};
use crate::test::{Step, test, test_with_go_peers};

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
    /// Builds target/release/mesh-agent, kernel programs inside
    Build,
    /// Runs every check: format, lints, docs, unit tests, behaviour tests
    Test {
        /// Runs this step only; may be given several times
        #[arg(long, value_name = "STEP")]
        only: Vec<Step>,
        /// Runs the extra suite instead, whose peers are written in Go: h2spec, and gRPC's interoperability tests
        #[arg(long, conflicts_with = "only")]
        peers: bool,
    },
    /// Shows the mesh at work: a shop of gRPC services, live figures, a change under load
    Demo(DemoOptions),
    /// Measures the mesh: what it adds to connect() and to an RPC, what its proxy costs beside others, how soon a change is in force
    Bench(BenchOptions),
    /// Searches for bytes on which the meter's decoder and full decoders disagree
    Fuzz(FuzzOptions),
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::note(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<(), Error> {
    match task {
        Task::Setup => setup(Scope::Test),
        Task::Build => {
            setup(Scope::Build)?;
            build_agent()
        }
        Task::Test { peers: true, .. } => test_with_go_peers(),
        Task::Test { only, .. } => test(&only),
        Task::Demo(options) => demo(&options),
        Task::Bench(options) => bench(&options),
        Task::Fuzz(options) => fuzz(&options),
    }
}
