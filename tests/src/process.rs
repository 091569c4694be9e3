//! A child process that ends with its value.

use crate::cgroup::Cgroup;
use crate::deadline::eventually;
use crate::error::{Context, Error, Result};
use crate::namespace::Namespace;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A child process with its output by lines. Killed on drop.
///
/// It also dies with the thread that started it, so that an interrupted test leaves nothing running.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `command` in a cgroup and, if given, in a network namespace. Standard error goes where the test's goes.
    ///
    /// # Errors
    /// If the program does not exist or cannot be placed.
    pub fn spawn(
        mut command: Command,
        cgroup: &Cgroup,
        namespace: Option<&Namespace>,
    ) -> Result<Self> {
        let name = format!("{command:?}");
        let entrance = cgroup.entrance()?;
        // SAFETY: between fork and exec only write(2) and prctl(2) are called, which are
        // async-signal-safe, on a file descriptor that the closure owns.
        unsafe {
            command.pre_exec(move || {
                rustix::io::write(&entrance, b"0")?;
                Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
            });
        }
        if let Some(namespace) = namespace {
            namespace.bring(&mut command);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context(|| format!("start {name}"))?;
        let input = child.stdin.take();
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                let texts = BufReader::new(output)
                    .lines()
                    .map_while(std::result::Result::ok);
                for line in texts {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self {
            name,
            child,
            input,
            lines,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output.
    ///
    /// # Errors
    /// If none comes in time, or the output has ended.
    pub fn line(&self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => Error::Late {
                what: format!("a line from {}", self.name),
                limit,
                last: "nothing".to_owned(),
            },
            RecvTimeoutError::Disconnected => Error::Program {
                program: self.name.clone(),
                status: "its output ended".to_owned(),
                stderr: String::new(),
            },
        })
    }

    /// All further lines of its standard output, up to its end.
    ///
    /// # Errors
    /// If it says nothing for so long.
    pub fn rest(&self, limit: Duration) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            match self.line(limit) {
                Ok(line) => lines.push(line),
                Err(Error::Program { .. }) => return Ok(lines),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// If the process no longer reads.
    pub fn say(&mut self, line: &str) -> Result {
        let Some(input) = &mut self.input else {
            return Err(Error::Program {
                program: self.name.clone(),
                status: "its input is closed".to_owned(),
                stderr: String::new(),
            });
        };
        writeln!(input, "{line}").context(|| format!("write to {}", self.name))
    }

    /// Closes its standard input: peers take that as the request to finish.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process has gone.
    pub fn signal(&self, signal: Signal) -> Result {
        kill_process(Pid::from_child(&self.child), signal)
            .context(|| format!("signal {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        eventually(&format!("end of {}", self.name), limit, || {
            match child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err("still running".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if the process has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
