//! gRPC peers under a test's control: tonic (`mesh-rpc`), Python's grpcio (`peers/*.py`) and grpc-js (`peers/*.js`), with
//! one command line.
//!
//! They speak `mesh.test.Echo/Say`, whose messages are bare bytes: what the server answers is its identity, a line
//! feed and the request. No protobuf is needed to see who answered and that nothing was lost.

use crate::binary;
use crate::error::{Error, Result};
use crate::network::Pod;
use crate::process::Process;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The method's path.
pub const METHOD: &str = "/mesh.test.Echo/Say";

/// How long a peer may take to start, or to make its calls.
const LIMIT: Duration = Duration::from_secs(30);

/// Which implementation of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// tonic, in Rust: an IPv4 target is an IPv4 socket.
    Tonic,
    /// grpcio, gRPC's C core: an IPv4 target is an IPv6 socket with a v4-mapped address.
    Grpcio,
    /// grpc-js, in JavaScript: a client of [`crate::load`] and [`crate::features`] only.
    GrpcJs,
}

impl Implementation {
    /// The command that runs a verb of the implementation's program.
    pub fn command(self, verb: &str) -> Result<Command> {
        match self {
            Self::Tonic => {
                let mut command = Command::new(binary::peer("mesh-rpc")?);
                command.arg(verb);
                Ok(command)
            }
            Self::Grpcio => {
                let name = program(verb).unwrap_or("echo");
                let mut command = Command::new(binary::python()?);
                command.arg(script(&format!("{name}.py"))).arg(verb);
                Ok(command)
            }
            Self::GrpcJs => {
                let mut command = Command::new("node");
                let name = program(verb).unwrap_or("load");
                command
                    .env("NODE_PATH", binary::node_modules()?)
                    .arg(script(&format!("{name}.js")))
                    .arg(verb);
                Ok(command)
            }
        }
    }

    /// Starts a server in a pod and waits until it listens. `SIGTERM` has it finish what is under way and end; it ends at once
    /// when the value is dropped.
    ///
    /// # Errors
    /// If the implementation is not installed or the address is taken.
    pub fn serve(self, pod: &Pod, listen: SocketAddr, identity: &str) -> Result<Process> {
        self.serve_slowly(pod, listen, identity, Duration::ZERO)
    }

    /// [`Implementation::serve`], each answer after `delay`.
    ///
    /// # Errors
    /// As [`Implementation::serve`].
    pub fn serve_slowly(
        self,
        pod: &Pod,
        listen: SocketAddr,
        identity: &str,
        delay: Duration,
    ) -> Result<Process> {
        let mut command = self.command("serve")?;
        let delay_ms = delay.as_millis().to_string();
        command.args([&listen.to_string(), identity, &delay_ms]);
        let server = pod.spawn(command)?;
        server.line(LIMIT)?;
        Ok(server)
    }

    /// Opens `channels` channels to `target` from a pod, one after the other, and makes `calls` calls on each.
    ///
    /// # Errors
    /// If a call fails: the peers make no second try.
    pub fn call(self, pod: &Pod, target: SocketAddr, channels: u32, calls: u32) -> Result<Calls> {
        let mut command = self.command("call")?;
        command.args([target.to_string(), channels.to_string(), calls.to_string()]);
        let line = pod.spawn(command)?.line(LIMIT)?;
        serde_json::from_str(&line).map_err(|error| Error::Unreadable {
            from: format!("{self:?} client"),
            answer: format!("{error}: {line}"),
        })
    }
}

/// The program that knows a verb, of those that have more than one.
fn program(verb: &str) -> Option<&'static str> {
    ["load", "features"]
        .into_iter()
        .find(|name| verb.starts_with(name))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// What a client reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Calls answered with what was sent, by the identity of the server.
    pub answers: BTreeMap<String, u64>,
    /// Calls that failed, by what went wrong.
    pub failures: BTreeMap<String, u64>,
    /// Calls that the client itself gave up unsent, because their connection was about to end, and made again: hyper leaves that
    /// to its user, and tonic does not do it.
    #[serde(default)]
    pub unsent: u64,
    /// `getpeername` of the first channel, where the implementation lets one see it.
    pub peer: Option<SocketAddr>,
}

impl Calls {
    /// Adds calls that the same client has reported later.
    pub fn add(&mut self, later: Self) {
        for (sums, parts) in [
            (&mut self.answers, later.answers),
            (&mut self.failures, later.failures),
        ] {
            for (name, count) in parts {
                *sums.entry(name).or_default() += count;
            }
        }
        self.unsent += later.unsent;
    }
}
