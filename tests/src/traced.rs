//! A gRPC client that makes one call at a time, with a `traceparent` if it is told to, and a server that answers as the
//! call says (`mesh-rpc traced`, `mesh-rpc serve-traced`).

use crate::binary;
use crate::error::{Error, Result};
use crate::network::Pod;
use crate::process::Process;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How long a call may take, beyond what the server waits.
const LIMIT: Duration = Duration::from_secs(30);

/// Metadata that tells the server which status to answer with.
pub const STATUS_KEY: &str = "test-status";

/// Metadata that tells the server how many milliseconds to wait before.
pub const DELAY_KEY: &str = "test-delay-ms";

/// The service; the server knows every method of it.
pub const SERVICE: &str = "mesh.test.Traced";

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The method, without its service.
    pub method: String,
    /// Value of the header `traceparent`.
    pub trace_parent: Option<String>,
    /// The status that the server shall answer with.
    pub status: i32,
    /// How long the server shall wait before.
    pub delay_ms: u64,
}

impl Call {
    /// A call that is answered with OK at once.
    #[must_use]
    pub fn new(method: &str) -> Self {
        Self {
            method: method.to_owned(),
            trace_parent: None,
            status: 0,
            delay_ms: 0,
        }
    }

    /// Sets the header `traceparent`.
    #[must_use]
    pub fn trace_parent(mut self, value: &str) -> Self {
        self.trace_parent = Some(value.to_owned());
        self
    }

    /// Sets the status of the answer.
    #[must_use]
    pub const fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Lets the server wait before it answers.
    #[must_use]
    pub const fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }

    /// `package.Service/Method`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{SERVICE}/{}", self.method)
    }
}

/// What the client saw of a call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: i32,
    /// When the call began, in seconds since 1970.
    pub started_seconds: f64,
    /// How long it took.
    pub seconds: f64,
}

/// A client with one connection.
#[derive(Debug)]
pub struct Client(Process);

impl Client {
    /// Connects from a pod.
    ///
    /// # Errors
    /// If it cannot.
    pub fn connect(pod: &Pod, target: SocketAddr) -> Result<Self> {
        let mut command = Command::new(binary::peer("mesh-rpc")?);
        command.args(["traced", &target.to_string()]);
        let process = pod.spawn(command)?;
        process.line(LIMIT)?;
        Ok(Self(process))
    }

    /// Makes a call and waits for its end.
    ///
    /// # Errors
    /// If the client does not report one.
    pub fn call(&mut self, call: &Call) -> Result<Answer> {
        self.begin(call)?;
        let line = self.0.line(LIMIT)?;
        serde_json::from_str(&line).map_err(|error| Error::Unreadable {
            from: "mesh-rpc traced".to_owned(),
            answer: format!("{error}: {line}"),
        })
    }

    /// Begins a call and does not wait for its end; there can be no other behind it.
    ///
    /// # Errors
    /// If the client has gone.
    pub fn begin(&mut self, call: &Call) -> Result {
        let text = serde_json::to_string(call).expect("a call has no map with foreign keys");
        self.0.say(&text)
    }
}

/// Starts the server in a pod and waits until it listens.
///
/// # Errors
/// If the address is taken.
pub fn serve(pod: &Pod, listen: SocketAddr) -> Result<Process> {
    let mut command = Command::new(binary::peer("mesh-rpc")?);
    command.args(["serve-traced", &listen.to_string()]);
    let server = pod.spawn(command)?;
    server.line(LIMIT)?;
    Ok(server)
}
