//! The one place where xtask speaks to the person who called it.

use std::fmt::Display;

/// Prints one line.
#[expect(
    clippy::print_stdout,
    reason = "a command line program answers on its standard output"
)]
pub(crate) fn say(line: impl Display) {
    println!("{line}");
}

/// Prints one line of trouble.
#[expect(
    clippy::print_stderr,
    reason = "a command line program complains on its standard error"
)]
pub(crate) fn complain(line: impl Display) {
    eprintln!("{line}");
}
