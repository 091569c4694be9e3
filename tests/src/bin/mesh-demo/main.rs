//! The demo: a shop of three gRPC services behind cluster IPs, on an agent with real kernel programs, watched live.

mod calls;
mod cluster;
mod edge;
mod interrupt;
mod quantile;
mod show;
mod summary;
mod table;
mod terminal;

use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;
use crate::show::{Ending, show};
use crate::terminal::{Terminal, complain};

/// What the shell sees of a program that ended on Ctrl-C: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// How much later than its children the demo may hear of a Ctrl-C.
const SIGNAL_DELAY: Duration = Duration::from_millis(100);

#[derive(Parser)]
#[command(name = "mesh-demo", about = "Shows the mesh at work on a small shop")]
struct Arguments {
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut terminal = Terminal::new(arguments.json);
    let duration = Duration::from_secs(arguments.seconds);
    let ending = Interrupt::listen().and_then(|interrupt| {
        show(duration, arguments.keep, &interrupt, &mut terminal).or_else(|error| {
            // A terminal sends Ctrl-C to the shop and the agent too: that they ended is no error then.
            match interrupt.wait_until(Instant::now() + SIGNAL_DELAY) {
                true => Err(error),
                false => Ok(Ending::Interrupted),
            }
        })
    });
    match ending {
        Ok(Ending::Finished(summary)) if summary.is_good() => ExitCode::SUCCESS,
        Ok(Ending::Finished(_)) => ExitCode::FAILURE,
        Ok(Ending::Interrupted) => {
            complain("interrupted; everything is cleaned up");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            complain(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
