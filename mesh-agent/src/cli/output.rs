//! The only place that writes to standard output and standard error.

use serde::Serialize;
use std::io::{self, IsTerminal as _, Write};

/// What a reading command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OutputFormat {
    /// Tables for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

impl OutputFormat {
    /// Prints a value as JSON, or as the text that `table` makes for a width.
    pub(super) fn print<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce(Option<usize>) -> String,
    ) {
        match self {
            Self::Table => print(&table(width())),
            Self::Json => match serde_json::to_string_pretty(value) {
                Ok(json) => print(&format!("{json}\n")),
                Err(error) => complain(&format!("cannot write JSON: {error}")),
            },
        }
    }
}

/// Prints a text for a width in place of what is on the terminal; elsewhere, below it.
pub(super) fn redraw(text: impl FnOnce(Option<usize>) -> String) {
    const HOME_AND_CLEAR: &str = "\x1b[H\x1b[2J";
    let width = width();
    let clear = if width.is_some() { HOME_AND_CLEAR } else { "" };
    let text = printable(&text(width));
    write_all(&mut io::stdout().lock(), &format!("{clear}{text}"));
}

/// Width of the terminal; `None`: not a terminal, nothing is cut.
fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    // A terminal that does not tell its width says zero.
    Some(if columns == 0 { 100 } else { columns })
}

/// Writes a text to standard output. A reader that has gone (`| head`) is no error.
pub(super) fn print(text: &str) {
    write_all(&mut io::stdout().lock(), &printable(text));
}

/// Writes a complaint to standard error.
pub(super) fn complain(text: &str) {
    let line = format!("mesh-agent: {text}\n");
    write_all(&mut io::stderr().lock(), &printable(&line));
}

/// Takes out control characters: a name from a manifest or a process must not rewrite the terminal.
fn printable(text: &str) -> String {
    text.replace(
        |character: char| character.is_control() && character != '\n',
        "?",
    )
}

fn write_all(to: &mut impl Write, text: &str) {
    // There is nowhere left to report a failure to.
    to.write_all(text.as_bytes()).ok();
    to.flush().ok();
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\n\tc µ…"), "a?[2Jb?\n?c µ…");
    }
}
