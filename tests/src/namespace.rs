//! A network namespace that lives as long as its value.

use crate::error::{Context, Error, Result};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A network namespace, kept by a file descriptor alone: no name, no mount, nothing that a killed test leaves behind.
#[derive(Clone, Debug)]
pub struct Namespace {
    file: Arc<OwnedFd>,
}

impl Namespace {
    /// Makes a namespace with loopback up and no other device, hence no route out.
    ///
    /// # Errors
    /// If the caller is not root.
    pub fn new() -> Result<Self> {
        let file = std::thread::spawn(|| -> Result<OwnedFd> {
            // SAFETY: only the network namespace of this short-lived thread is unshared; no file
            // descriptor table or memory that other threads rely on is touched.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
                .context(|| "make a network namespace (needs root)")?;
            open_own()
        })
        .join()
        .map_err(|_panic| thread_died())??;
        let namespace = Self {
            file: Arc::new(file),
        };
        namespace.ip("link set lo up\n")?;
        Ok(namespace)
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn current() -> Result<Self> {
        Ok(Self {
            file: Arc::new(open_own()?),
        })
    }

    /// The path by which other programs of the same user can open it (`nsenter --net=PATH`) while this process lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Runs a closure on a thread of its own inside the namespace.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    ///
    /// # Panics
    /// If the closure does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> Result<T> {
                move_into(self.file.as_fd()).context(|| "enter a network namespace")?;
                Ok(work())
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs lines of `ip -batch` in the namespace.
    ///
    /// # Errors
    /// If iproute2 is missing or refuses a line.
    pub fn ip(&self, lines: &str) -> Result {
        let mut command = Command::new("ip");
        command
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        self.bring(&mut command);
        let mut child = command.spawn().map_err(|error| Error::Requirement {
            what: format!("cannot run ip: {error}"),
            remedy: "cargo xtask setup (installs iproute2)",
        })?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(lines.as_bytes())
                .context(|| "write to ip")?;
        }
        let mut stderr = String::new();
        if let Some(mut pipe) = child.stderr.take() {
            pipe.read_to_string(&mut stderr)
                .context(|| "read from ip")?;
        }
        let status = child.wait().context(|| "wait for ip")?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Program {
            program: format!("ip -batch: {lines}"),
            status: status.to_string(),
            stderr,
        })
    }

    /// Makes `command` start inside the namespace.
    pub(crate) fn bring(&self, command: &mut Command) {
        let file = Arc::clone(&self.file);
        // SAFETY: between fork and exec only setns(2) is called, which is async-signal-safe.
        unsafe { command.pre_exec(move || Ok(move_into(file.as_fd())?)) };
    }
}

fn move_into(file: BorrowedFd<'_>) -> rustix::io::Result<()> {
    move_into_link_name_space(file, Some(LinkNameSpaceType::Network))
}

fn open_own() -> Result<OwnedFd> {
    let path = "/proc/thread-self/ns/net";
    File::open(path)
        .map(OwnedFd::from)
        .context(|| format!("open {path}"))
}

fn thread_died() -> Error {
    Error::Requirement {
        what: "the thread that makes a network namespace died".to_owned(),
        remedy: "see its panic message above",
    }
}
