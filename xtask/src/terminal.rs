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

/// Prints one line of progress or trouble.
#[expect(
    clippy::print_stderr,
    reason = "as with cargo itself, what is not the answer goes to standard error"
)]
pub(crate) fn note(line: impl Display) {
    eprintln!("{line}");
}
