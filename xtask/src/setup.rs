//! `cargo xtask setup`: makes a machine ready to build, run and test the mesh.
//!
//! Every step looks first and does nothing when its result is already there,
//! so `build`, `test` and `demo` begin with it.

mod bpffs;
mod debian;
mod envoy;
mod go;
mod haproxy;
mod linker;
mod node;
mod peers;
mod prometheus;
mod toolchain;
mod unpack;

use std::time::Instant;

use crate::bpf_toolchain::rustup_exists;
use crate::error::Error;
use crate::terminal::note;

/// How much of the machine must be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Compile the agent and its kernel programs.
    Build,
    /// Also load the programs and lay out network namespaces.
    Run,
    /// Also run the behaviour tests with their foreign gRPC peers.
    Test,
    /// Also run the tests whose peers are written in Go.
    GoPeers,
    /// What tests need, and the proxies that a benchmark compares the mesh with.
    Rivals,
}

impl Scope {
    /// Whether what belongs to `part` must be ready too.
    fn covers(self, part: Self) -> bool {
        match self {
            Self::Build | Self::Run | Self::Test => part <= self,
            Self::GoPeers | Self::Rivals => part <= Self::Test || part == self,
        }
    }
}

/// What a look at the machine found for one step.
enum Finding {
    /// Nothing to do; the evidence.
    Ready(String),
    /// What is missing.
    Missing(String),
}

/// Facts about the machine that several steps ask for.
struct Machine {
    scope: Scope,
    is_root: bool,
    has_rustup: bool,
}

struct Step {
    name: &'static str,
    scope: Scope,
    needs_root: bool,
    /// Whether this kind of machine can do it at all.
    possible: fn(&Machine) -> bool,
    inspect: fn(&Machine) -> Finding,
    carry_out: fn(&Machine) -> Result<(), Error>,
    by_hand: fn(&Machine) -> String,
}

const STEPS: &[Step] = &[
    debian::STEP,
    toolchain::STEP,
    linker::STEP,
    bpffs::STEP,
    peers::STEP,
    node::STEP,
    prometheus::STEP,
    go::STEP,
    envoy::STEP,
    haproxy::STEP,
];

/// Makes the machine ready for `scope`, saying what was found and done.
///
/// # Errors
/// When a step failed, or is missing and cannot be done from here.
pub(crate) fn setup(scope: Scope) -> Result<(), Error> {
    let machine = Machine {
        scope,
        is_root: rustix::process::geteuid().is_root(),
        has_rustup: rustup_exists(),
    };
    let mut missing_count = 0;
    for step in STEPS.iter().filter(|step| scope.covers(step.scope)) {
        let lacking = match (step.inspect)(&machine) {
            Finding::Ready(evidence) => {
                note(format_args!("setup: {:<10} ready: {evidence}", step.name));
                continue;
            }
            Finding::Missing(lacking) => lacking,
        };
        note(format_args!("setup: {:<10} missing: {lacking}", step.name));
        // Later steps build on earlier ones: after the first that is
        // impossible, the rest is only reported.
        if missing_count > 0 || (step.needs_root && !machine.is_root) || !(step.possible)(&machine)
        {
            let by_hand = (step.by_hand)(&machine);
            note(format_args!(
                "setup: {:<10} to do by hand: {by_hand}",
                step.name
            ));
            missing_count += 1;
            continue;
        }
        carry_out(step, &machine)?;
    }
    match missing_count {
        0 => Ok(()),
        count => Err(Error::SetupIncomplete { count }),
    }
}

fn carry_out(step: &Step, machine: &Machine) -> Result<(), Error> {
    let begin = Instant::now();
    (step.carry_out)(machine)?;
    match (step.inspect)(machine) {
        Finding::Ready(evidence) => {
            let seconds = begin.elapsed().as_secs_f32();
            note(format_args!(
                "setup: {:<10} done in {seconds:.1} s: {evidence}",
                step.name
            ));
            Ok(())
        }
        Finding::Missing(missing) => Err(Error::StepWithoutEffect {
            step: step.name,
            missing,
        }),
    }
}
