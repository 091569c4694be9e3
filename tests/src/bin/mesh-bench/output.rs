//! How results are printed: a table for people, JSON for programs.

use mesh_tests::error::Context;
use mesh_tests::{Error, Result};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};

/// Prints a result.
pub(crate) fn print<R: Display + Serialize>(result: &R, json: bool) -> Result {
    let text = if json {
        serde_json::to_string_pretty(result)
            .map_err(io::Error::from)
            .context(|| "write the result as JSON")?
    } else {
        result.to_string()
    };
    say(&text)
}

/// Prints a line at once.
pub(crate) fn say(line: &str) -> Result {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .context(|| "write to standard output")
}

#[expect(clippy::print_stderr, reason = "a program's last word")]
pub(crate) fn complain(error: &Error) {
    eprintln!("mesh-bench: {error}");
}
