//! A `mesh-peer serve` under a test's control.

use crate::binary;
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::network::Pod;
use crate::process::Process;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Says who it is, then reads until the client has finished.
    Banner,
    /// Says who it is and closes at once: the cheapest connection.
    Flash,
    /// Says whom it sees: the client's address.
    Caller,
    /// Sends back what comes.
    Echo,
    /// Reads until the client has finished.
    Sink,
    /// Does what the client's order says.
    Command,
    /// Says who it is to every datagram (UDP).
    Datagram,
}

/// What one listener has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections accepted, or datagrams.
    pub accepted: u64,
    /// Payload bytes read.
    pub received_bytes: u64,
    /// Payload bytes written.
    pub sent_bytes: u64,
}

/// One process with any number of listeners, which come and go as the test says.
#[derive(Debug)]
pub struct Server {
    process: Process,
}

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

impl Server {
    /// Starts a server without listeners in a pod.
    ///
    /// # Errors
    /// If `mesh-peer` has not been built.
    pub fn start(pod: &Pod) -> Result<Self> {
        Self::start_in(pod.cgroup(), Some(pod.namespace()))
    }

    /// Starts a server in a cgroup and, if given, a network namespace.
    ///
    /// # Errors
    /// If `mesh-peer` has not been built.
    pub fn start_in(cgroup: &Cgroup, namespace: Option<&Namespace>) -> Result<Self> {
        let mut command = Command::new(binary::peer("mesh-peer")?);
        command.arg("serve");
        Ok(Self {
            process: Process::spawn(command, cgroup, namespace)?,
        })
    }

    /// Listens at `address` as `identity` (no spaces, shorter than a banner).
    ///
    /// # Errors
    /// If the address is taken.
    pub fn listen(&mut self, address: SocketAddr, mode: Mode, identity: &str) -> Result {
        self.ask(&format!("listen {address} {mode:?} {identity}"))
            .map(drop)
    }

    /// Stops listening at `address`; its connections go on.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn close(&mut self, address: SocketAddr) -> Result {
        self.ask(&format!("close {address}")).map(drop)
    }

    /// What every listener has seen so far, closed ones included.
    ///
    /// # Errors
    /// If the server has died.
    pub fn counts(&mut self) -> Result<BTreeMap<SocketAddr, Counts>> {
        let answer = self.ask("counts")?;
        serde_json::from_str(&answer).map_err(|error| Error::Unreadable {
            from: "mesh-peer serve".to_owned(),
            answer: format!("{error}: {answer}"),
        })
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        self.process.say(request)?;
        let answer = self.process.line(ANSWER_LIMIT)?;
        answer
            .strip_prefix("ok ")
            .map(str::to_owned)
            .ok_or_else(|| Error::Unreadable {
                from: format!("mesh-peer serve: {request}"),
                answer,
            })
    }
}
