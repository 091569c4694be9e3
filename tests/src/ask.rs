//! A client that makes single calls of any path with any headers, and says who answered.

use crate::error::{Error, Result};
use crate::network::Pod;
use crate::process::Process;
use crate::rpc::Implementation;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its path.
    pub path: String,
    /// Metadata on top of what gRPC asks for.
    pub headers: Vec<(String, String)>,
}

impl Question {
    /// A call of a path with headers.
    #[must_use]
    pub fn new(path: &str, headers: &[(&str, &str)]) -> Self {
        Self {
            path: path.to_owned(),
            headers: headers
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status' code.
    pub status: i32,
    /// The server that answered; empty: none.
    pub identity: String,
    /// The status' message.
    pub message: String,
    /// Response metadata.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A running client with one connection that stays.
#[derive(Debug)]
pub struct Asker {
    process: Process,
}

impl Asker {
    /// Connects from a pod.
    ///
    /// # Errors
    /// If the connection does not come about.
    pub fn start(pod: &Pod, target: SocketAddr) -> Result<Self> {
        let mut command = Implementation::Tonic.command("ask")?;
        command.arg(target.to_string());
        let process = pod.spawn(command)?;
        process.line(LIMIT)?;
        Ok(Self { process })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// If the client has gone.
    pub fn ask(&mut self, question: &Question) -> Result<Answer> {
        let text = serde_json::to_string(question).expect("a question has texts only");
        self.process.say(&text)?;
        let line = self.process.line(LIMIT)?;
        serde_json::from_str(&line).map_err(|error| Error::Unreadable {
            from: "mesh-rpc ask".to_owned(),
            answer: format!("{error}: {line}"),
        })
    }
}
