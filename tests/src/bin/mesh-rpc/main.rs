//! `mesh-rpc`: a tonic server and client of the behaviour tests. Driven through [`mesh_tests::rpc`].

mod call;
mod codec;
mod serve;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

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
    match words.as_slice() {
        ["serve", listen, identity] => runtime.block_on(serve::serve(listen.parse()?, identity)),
        ["call", target, channels, calls] => runtime.block_on(call::call(
            target.parse()?,
            channels.parse()?,
            calls.parse()?,
        )),
        _ => Err(
            "usage: mesh-rpc serve ADDRESS IDENTITY | mesh-rpc call ADDRESS CHANNELS CALLS".into(),
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
