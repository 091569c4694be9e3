//! `mesh-rpc`: a tonic server and client of the behaviour tests. Driven through [`mesh_tests::rpc`].

mod abandon;
mod ask;
mod call;
mod features;
mod lines;
mod load;
mod load_serve;
mod page;
mod serve;
mod service;
mod silence;
mod steady;
mod traced;
mod witness;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&*error);
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = carry_out(&runtime, &words);
    // A thread that still reads standard input would be waited for.
    runtime.shutdown_background();
    outcome
}

fn carry_out(runtime: &Runtime, words: &[&str]) -> Result<(), Box<dyn Error>> {
    match words {
        ["serve", listen, identity, delay_ms] => {
            let delay = Duration::from_millis(delay_ms.parse()?);
            runtime.block_on(serve::serve(listen.parse()?, identity, delay))
        }
        ["steady", target, connections, streams, habit] => runtime.block_on(steady::call(
            target.parse()?,
            connections.parse()?,
            streams.parse()?,
            habit,
        )),
        ["abandon", target, connections, streams, calls] => runtime.block_on(abandon::call(
            target.parse()?,
            connections.parse()?,
            streams.parse()?,
            calls.parse()?,
        )),
        ["call", target, channels, calls] => runtime.block_on(call::call(
            target.parse()?,
            channels.parse()?,
            calls.parse()?,
        )),
        ["load-serve", listen] => runtime.block_on(load_serve::serve(listen.parse()?, None)),
        ["load-serve", listen, streams] => runtime.block_on(load_serve::serve(
            listen.parse()?,
            Some(streams.parse()?),
        )),
        ["load", target, connections, streams, plans @ ..] => runtime.block_on(load::load(
            target.parse()?,
            connections.parse()?,
            streams.parse()?,
            plans,
        )),
        ["traced", target] => runtime.block_on(traced::call(target.parse()?)),
        ["features", target] => runtime.block_on(features::features(target.parse()?)),
        ["ask", target] => runtime.block_on(ask::ask(target.parse()?)),
        ["witness", listen, name] => runtime.block_on(witness::serve(listen.parse()?, name)),
        ["page", listen] => runtime.block_on(page::serve(listen.parse()?)),
        ["silence", case, target, seconds] => runtime.block_on(silence::silence(
            case,
            target.parse()?,
            Duration::from_secs(seconds.parse()?),
        )),
        ["serve-traced", listen] => runtime.block_on(traced::serve(listen.parse()?)),
        _ => Err(
            "usage: mesh-rpc serve ADDRESS IDENTITY DELAY_MS | mesh-rpc call ADDRESS CHANNELS CALLS \
             | mesh-rpc steady ADDRESS CONNECTIONS STREAMS stay|come | mesh-rpc abandon ADDRESS CONNECTIONS STREAMS CALLS \
             | mesh-rpc load-serve ADDRESS [STREAMS] | mesh-rpc load ADDRESS CONNECTIONS STREAMS PLAN... \
             | mesh-rpc traced ADDRESS | mesh-rpc serve-traced ADDRESS \
             | mesh-rpc features ADDRESS | mesh-rpc ask ADDRESS | mesh-rpc page ADDRESS \
             | mesh-rpc silence connection|stream ADDRESS SECONDS | mesh-rpc witness ADDRESS NAME"
                .into(),
        ),
    }
}

/// Prints one line at once: the test waits for it.
fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

#[expect(clippy::print_stderr, reason = "a program's last word")]
fn complain(error: &dyn Error) {
    eprintln!("mesh-rpc: {error}");
}
