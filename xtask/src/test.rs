//! `cargo xtask test`: every check of the project, in order of cost.

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::build::build_agent;
use crate::error::Error;
use crate::fuzz::fuzz_briefly;
use crate::process::{cargo, run};
use crate::setup::{Scope, setup};
use crate::terminal::{note, say};
use crate::workspace;

/// The tests whose peers are written in Go.
const GO_PEERS: &str = "peers";

/// A named part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Formatting is rustfmt's
    Fmt,
    /// No compiler or clippy warning in any target
    Clippy,
    /// The documentation builds without a warning
    Doc,
    /// Unit, property, layering and tidiness tests; no privileges needed
    Unit,
    /// The meter's decoder against full decoders: the corpus, and a search of half a minute
    Fuzz,
    /// Release builds of the agent and of the test programs
    Build,
    /// The agent with real kernel programs, namespaces and gRPC peers
    Behaviour,
}

impl Step {
    fn scope(self) -> Scope {
        match self {
            Self::Fmt | Self::Clippy | Self::Doc | Self::Unit | Self::Build => Scope::Build,
            Self::Fuzz | Self::Behaviour => Scope::Test,
        }
    }

    fn perform(self) -> Result<(), Error> {
        match self {
            Self::Fmt => run(&mut cargo(&["fmt", "--all", "--check"])),
            Self::Clippy => {
                run(cargo(&["clippy", "--workspace", "--all-targets"])
                    .args(["--", "--deny", "warnings"]))?;
                // No part of the ordinary run, so not of all targets either.
                run(cargo(&["clippy", "--package", "mesh-tests"])
                    .args(["--test", GO_PEERS, "--", "--deny", "warnings"]))
            }
            Self::Doc => run(cargo(&["doc", "--workspace", "--no-deps", "--quiet"])
                .env("RUSTDOCFLAGS", "--deny warnings")),
            Self::Unit => run(&mut cargo(&["test"])),
            Self::Fuzz => fuzz_briefly(),
            Self::Build => {
                build_agent()?;
                run(behaviour_tests().arg("--no-run"))
            }
            Self::Behaviour => {
                build_agent()?;
                run(&mut behaviour_tests())
            }
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self
            .to_possible_value()
            .expect("no step is hidden from the command line");
        f.pad(value.get_name())
    }
}

/// Runs the chosen steps, or all of them, up to the first that fails.
///
/// # Errors
/// When set-up or a step fails.
pub(crate) fn test(chosen: &[Step]) -> Result<(), Error> {
    let steps: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| chosen.is_empty() || chosen.contains(step))
        .collect();
    let is_root = rustix::process::geteuid().is_root();
    if steps.contains(&Step::Behaviour) && !is_root {
        return Err(Error::NeedsRoot {
            what: "step `behaviour`",
        });
    }
    setup(
        steps
            .iter()
            .map(|step| step.scope())
            .max()
            .unwrap_or(Scope::Build),
    )?;

    let mut times = Vec::new();
    let mut outcome = Ok(());
    for &step in &steps {
        note(format_args!("\n== {step} =="));
        let begin = Instant::now();
        let result = step.perform();
        times.push(begin.elapsed());
        if let Err(source) = result {
            outcome = Err(Error::Step {
                step: step.to_string(),
                source: Box::new(source),
            });
            break;
        }
    }
    report(&steps, &times, outcome.is_ok());
    outcome
}

/// Runs the tests whose peers are written in Go.
///
/// # Errors
/// When the caller is not root, Go is missing, set-up or a build fails, or a test does.
pub(crate) fn test_with_go_peers() -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NeedsRoot {
            what: "`test --peers`",
        });
    }
    setup(Scope::GoPeers)?;
    build_agent()?;
    run(behaviour_tests()
        .args(["--test", GO_PEERS])
        .env("MESH_GO_PEERS", workspace::go_programs()))
}

fn report(steps: &[Step], times: &[Duration], succeeded: bool) {
    say(format_args!(
        "\n{:<12} {:<8} {:>9}",
        "STEP", "RESULT", "TIME"
    ));
    for (index, step) in steps.iter().enumerate() {
        let Some(time) = times.get(index) else {
            say(format_args!("{step:<12} not run"));
            continue;
        };
        let is_the_failed_one = !succeeded && index + 1 == times.len();
        let result = if is_the_failed_one { "FAILED" } else { "ok" };
        say(format_args!(
            "{step:<12} {result:<8} {:>7.1} s",
            time.as_secs_f32()
        ));
    }
    let total: Duration = times.iter().sum();
    say(format_args!(
        "{:<12} {:<8} {:>7.1} s",
        "total",
        "",
        total.as_secs_f32()
    ));
}

/// The behaviour tests, told where the agent and the foreign programs are.
fn behaviour_tests() -> std::process::Command {
    let mut command = cargo(&["test", "--release", "--package", "mesh-tests"]);
    command
        .env("MESH_AGENT_BIN", workspace::agent())
        .env("MESH_PYTHON", workspace::python())
        .env("MESH_NODE_MODULES", workspace::node_modules());
    if let Some(path) = workspace::prometheus() {
        command.env("MESH_PROMETHEUS", path);
    }
    command
}
