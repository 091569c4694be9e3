//! Clients that call all the time: what a change costs those who do not know of it.
//!
//! They speak `mesh.test.Echo/Say`, see [`crate::rpc`].

use crate::error::{Error, Result};
use crate::load::Width;
use crate::network::Pod;
use crate::process::Process;
use crate::rpc::{Calls, Implementation};
use std::net::SocketAddr;
use std::time::Duration;

/// How long every stream of a client may take for one more call, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(180);

/// How a client treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It keeps them, as long as they last.
    Stay,
    /// Each call has a connection of its own.
    Come,
}

/// A running client; it makes no second try of a call that a server may have seen. It ends when the value is dropped.
#[derive(Debug)]
pub struct Steady {
    process: Process,
    name: String,
}

impl Steady {
    /// Starts a client in a pod and waits until each of its streams has had a call; they must not have failed.
    ///
    /// # Errors
    /// If the implementation is not installed, or a call fails.
    pub fn start(
        implementation: Implementation,
        pod: &Pod,
        target: SocketAddr,
        width: Width,
        habit: Habit,
    ) -> Result<Self> {
        let mut command = implementation.command("steady")?;
        let habit_name = match habit {
            Habit::Stay => "stay",
            Habit::Come => "come",
        };
        command.args([
            &target.to_string(),
            &width.connections.to_string(),
            &width.streams.to_string(),
            habit_name,
        ]);
        let client = Self {
            process: pod.spawn(command)?,
            name: format!("{implementation:?} client that wants to {habit_name}"),
        };
        let first = client.report()?;
        if first.failures.is_empty() {
            return Ok(client);
        }
        Err(client.unreadable(&format!("{first:?}")))
    }

    /// What came of the calls since the last time, once each stream has ended one that began after this was asked.
    ///
    /// # Errors
    /// If a call does not end.
    pub fn so_far(&mut self) -> Result<Calls> {
        self.process.say("so far")?;
        self.report()
    }

    /// Ends it; gives what came of the calls since the last time, at least one for each stream.
    ///
    /// # Errors
    /// If a call does not end.
    pub fn end(mut self) -> Result<Calls> {
        let mut calls = self.so_far()?;
        self.process.close_input();
        calls.add(self.report()?);
        Ok(calls)
    }

    fn report(&self) -> Result<Calls> {
        let line = self.process.line(LIMIT)?;
        serde_json::from_str(&line).map_err(|error| self.unreadable(&format!("{error}: {line}")))
    }

    fn unreadable(&self, answer: &str) -> Error {
        Error::Unreadable {
            from: self.name.clone(),
            answer: answer.to_owned(),
        }
    }
}
