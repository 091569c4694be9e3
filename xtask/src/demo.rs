//! `cargo xtask demo`: builds everything and hands over to the demo program.

use clap::Args;

use crate::error::Error;
use crate::program::Program;
use crate::setup::Scope;

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

/// Builds the agent and the demo, then becomes the demo program.
///
/// # Errors
/// When set-up or a build fails, or the caller is not root.
pub(crate) fn demo(options: &DemoOptions) -> Result<(), Error> {
    const DEMO: Program = Program {
        what: "the demo",
        binary: "mesh-demo",
        scope: Scope::Run,
        companions: &["mesh-shop"],
    };
    let mut arguments = vec!["--seconds".to_owned(), options.seconds.to_string()];
    if options.json {
        arguments.push("--json".to_owned());
    }
    if options.keep {
        arguments.push("--keep".to_owned());
    }
    DEMO.build_and_become(&arguments)
}
