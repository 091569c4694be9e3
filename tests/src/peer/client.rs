//! A `mesh-peer connect` under a test's control.

use super::dial::{Dial, Report};
use crate::binary;
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::network::Pod;
use crate::process::Process;
use std::process::Command;
use std::time::Duration;

/// A running client.
#[derive(Debug)]
pub struct Client {
    process: Process,
}

/// How long a client may take: the longest dial of the tests is half a million connections.
const REPORT_LIMIT: Duration = Duration::from_secs(180);

impl Client {
    /// Makes all connections of `dial` from a pod and waits for the report.
    ///
    /// # Errors
    /// If `mesh-peer` has not been built or does not end in time.
    pub fn run(pod: &Pod, dial: &Dial) -> Result<Report> {
        Self::start(pod, dial)?.report()
    }

    /// Starts to make connections from a pod.
    ///
    /// # Errors
    /// If `mesh-peer` has not been built.
    pub fn start(pod: &Pod, dial: &Dial) -> Result<Self> {
        Self::start_in(pod.cgroup(), Some(pod.namespace()), dial)
    }

    /// Starts to make connections from a cgroup and, if given, a network namespace.
    ///
    /// # Errors
    /// If `mesh-peer` has not been built.
    pub fn start_in(cgroup: &Cgroup, namespace: Option<&Namespace>, dial: &Dial) -> Result<Self> {
        let mut command = Command::new(binary::peer("mesh-peer")?);
        let dial = serde_json::to_string(dial).expect("a dial has no map with foreign keys");
        command.args(["connect", &dial]);
        Ok(Self {
            process: Process::spawn(command, cgroup, namespace)?,
        })
    }

    /// Waits for the next report: after all exchanges if the dial holds its connections, else at the end.
    ///
    /// # Errors
    /// If none comes in time.
    pub fn report(&self) -> Result<Report> {
        let line = self.process.line(REPORT_LIMIT)?;
        serde_json::from_str(&line).map_err(|error| Error::Unreadable {
            from: "mesh-peer connect".to_owned(),
            answer: format!("{error}: {line}"),
        })
    }

    /// Whether it has still to end.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Tells a client that holds connections, or connects until told, to finish; gives its last report.
    ///
    /// # Errors
    /// If it does not come in time.
    pub fn finish(mut self) -> Result<Report> {
        self.process.close_input();
        self.report()
    }
}
