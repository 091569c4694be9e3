//! What the person sees: a table redrawn in place, or one now and then where output is not a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a table is printed where it cannot be redrawn.
const PRINT_INTERVAL: Duration = Duration::from_secs(5);

/// Standard output.
pub(crate) struct Terminal {
    is_json: bool,
    is_terminal: bool,
    table_height: usize,
    printed: Option<Instant>,
}

impl Terminal {
    /// With `is_json`, only [`Terminal::answer`] prints.
    pub(crate) fn new(is_json: bool) -> Self {
        Self {
            is_json,
            is_terminal: io::stdout().is_terminal(),
            table_height: 0,
            printed: None,
        }
    }

    /// Whether a program reads the summary.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Prints a line that stays, below the last table.
    pub(crate) fn say(&mut self, line: impl Display) {
        if !self.is_json {
            self.table_height = 0;
            write(format_args!("{line}\n"));
        }
    }

    /// Shows the state, in place of the table before if nothing was said in between.
    pub(crate) fn draw(&mut self, table: &str) {
        let now = Instant::now();
        let is_due = self
            .printed
            .is_none_or(|printed| self.is_terminal || now - printed >= PRINT_INTERVAL);
        if self.is_json || !is_due {
            return;
        }
        self.printed = Some(now);
        if self.is_terminal && self.table_height > 0 {
            // Up to the table's first line, then erase to the end of the screen.
            write(format_args!("\x1b[{}A\x1b[J", self.table_height));
        }
        self.table_height = table.lines().count();
        write(table);
    }

    /// Prints the summary.
    pub(crate) fn answer(&mut self, text: impl Display) {
        self.table_height = 0;
        write(format_args!("{text}\n"));
    }
}

fn write(text: impl Display) {
    let mut output = io::stdout().lock();
    // Nobody reads any more (`| head`): no reason to leave namespaces and cgroups behind.
    drop(write!(output, "{text}").and_then(|()| output.flush()));
}

/// Prints one line of trouble.
#[expect(
    clippy::print_stderr,
    reason = "a command line program complains on its standard error"
)]
pub(crate) fn complain(line: impl Display) {
    eprintln!("{line}");
}
