//! `mesh-peer`: server and client of the behaviour tests. Driven through [`mesh_tests::peer`].

mod connect;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match (arguments.next().as_deref(), arguments.next()) {
        (Some("serve"), None) => serve::serve(),
        (Some("connect"), Some(dial)) => connect::connect(&dial),
        _ => Err(std::io::Error::other(
            "usage: mesh-peer serve | mesh-peer connect JSON",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program's last word")]
fn complain(error: &std::io::Error) {
    eprintln!("mesh-peer: {error}");
}
