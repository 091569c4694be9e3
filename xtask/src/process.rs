//! Child processes: run to the end, with their output shown or kept.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::{env, path::PathBuf};

use crate::error::Error;

/// Runs a command with its output on the terminal.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let shown = shown(command);
    let status = command
        .status()
        .map_err(|source| Error::start(&shown, source))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        command: shown,
        status,
        output: String::new(),
    })
}

/// Runs a command silently and returns what it printed.
///
/// # Errors
/// When it cannot be started or does not succeed; the error carries the end of
/// its output.
pub(crate) fn capture(command: &mut Command) -> Result<String, Error> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::start(&shown, source))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Error::Failed {
        command: shown,
        status: output.status,
        output: last_lines(&format!("{stdout}{stderr}"), 40),
    })
}

/// Finds a program in `PATH`.
#[must_use]
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args().map(OsStr::to_string_lossy) {
        write!(line, " {argument}").expect("writing to a String cannot fail");
    }
    line
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
