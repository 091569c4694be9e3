//! Child processes: run to the end, with their output shown or kept.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, iter};

use crate::error::Error;
use crate::workspace;

/// Prepares a program to be run with cargo's bin directory in its `PATH`:
/// cargo installs `bpf-linker` there, but only rustup puts it in `PATH`.
#[must_use]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    set_path(&mut command, iter::empty());
    command
}

/// Prepares a cargo command in the workspace.
#[must_use]
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = command("cargo");
    command
        .current_dir(workspace::root())
        .args(arguments)
        // Leaves the kernel programs out of the agent; useful while editing,
        // wrong in everything that xtask builds.
        .env_remove("AYA_BUILD_SKIP");
    command
}

/// Sets a command's `PATH` to `first`, then what it would be anyway.
pub(crate) fn set_path(command: &mut Command, first: impl Iterator<Item = PathBuf>) {
    let path = env::join_paths(first.chain(search_path()))
        .expect("entries split from a PATH can be joined again");
    command.env("PATH", path);
}

fn search_path() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    if let Some(bin) = cargo_bin_dir().filter(|bin| !dirs.contains(bin)) {
        dirs.push(bin);
    }
    dirs
}

fn cargo_bin_dir() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")))?;
    // A colon cannot be part of a PATH entry.
    let bin = home.join("bin");
    (!bin.to_string_lossy().contains(':')).then_some(bin)
}

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

/// Finds a program where [`command`] would find it.
#[must_use]
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    search_path()
        .into_iter()
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
