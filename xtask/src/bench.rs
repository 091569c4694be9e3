//! `cargo xtask bench`: builds everything and hands over to the benchmark program.

use clap::Args;

use crate::error::Error;
use crate::program::Program;
use crate::setup::Scope;

/// What the benchmark program is told.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// `connect`, `churn`, `meter` or `proxy`, and its options (`--help` lists them)
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "BENCHMARK"
    )]
    arguments: Vec<String>,
}

/// Builds the agent and the benchmarks, then becomes the benchmark program.
///
/// # Errors
/// When set-up or a build fails, or the caller is not root.
pub(crate) fn bench(options: &BenchOptions) -> Result<(), Error> {
    let is_beside_others = options
        .arguments
        .first()
        .is_some_and(|name| name == "proxy");
    let bench = Program {
        what: "a benchmark",
        binary: "mesh-bench",
        scope: if is_beside_others {
            Scope::Rivals
        } else {
            Scope::Run
        },
        companions: &["mesh-rpc", "mesh-wire"],
    };
    bench.build_and_become(&options.arguments)
}
