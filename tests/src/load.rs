//! Programs that make a planned load of gRPC calls and say what they saw: the truth that the meter is compared with.
//!
//! They speak `mesh.test.Load`, whose messages are bare bytes. The method's name says the shape of the call, the first
//! request message says what the server is to do ([`Call::order`]):
//!
//! | method | shape |
//! |---|---|
//! | `Get…`, `Put…` | unary |
//! | `List` | server-streaming |
//! | `Upload` | client-streaming |
//! | `Chat` | bidirectional: one reply per request |
//! | any other | `UNIMPLEMENTED` |

mod bare;
mod plan;
mod truth;

pub use bare::Bare;
pub use plan::{Call, ORDER_BYTES, Plan, STATUS_NAMES, Shape};
pub use truth::{BOUNDS_NS, BUCKETS, Outcome, Truth, bucket};

use crate::error::{Context, Error, Result};
use crate::network::Pod;
use crate::process::Process;
use crate::rpc::Implementation;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The service's name.
pub const SERVICE: &str = "mesh.test.Load";

/// How long a load may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A client that works its plans off one after the other, over connections that stay.
#[derive(Debug)]
pub struct Load {
    process: Process,
    name: String,
    // Holds the plans for as long as the client may read them.
    _plans: TempDir,
}

/// Over how many connections a load goes.
#[derive(Clone, Copy, Debug)]
pub struct Width {
    /// Connections.
    pub connections: u32,
    /// Calls at a time on each.
    pub streams: u32,
}

impl Load {
    /// Starts a client in a pod, which begins with the first plan at once and with each other when it is told.
    ///
    /// # Errors
    /// If the implementation is not installed.
    pub fn start(
        implementation: Implementation,
        pod: &Pod,
        target: SocketAddr,
        width: Width,
        plans: &[Plan],
    ) -> Result<Self> {
        let place = tempfile::tempdir().context(|| "make a temporary directory")?;
        let mut command = implementation.command("load")?;
        command.args([
            target.to_string(),
            width.connections.to_string(),
            width.streams.to_string(),
        ]);
        for (number, plan) in plans.iter().enumerate() {
            let path = place.path().join(number.to_string());
            std::fs::write(&path, plan.text()).context(|| "write a plan")?;
            command.arg(path);
        }
        Ok(Self {
            process: pod.spawn(command)?,
            name: format!("{implementation:?} client"),
            _plans: place,
        })
    }

    /// Waits until a plan has been worked off; gives what came of it.
    ///
    /// # Errors
    /// If it takes too long, or the client fails.
    pub fn truth(&self) -> Result<Truth> {
        let line = self.process.line(LIMIT)?;
        serde_json::from_str(&line).map_err(|error| Error::Unreadable {
            from: self.name.clone(),
            answer: format!("{error}: {line}"),
        })
    }

    /// Begins with the next plan.
    ///
    /// # Errors
    /// If the client has gone.
    pub fn go_on(&mut self) -> Result {
        self.process.say("go on")
    }

    /// Waits for the client's end, and with it its connections'. It must have worked off all its plans.
    ///
    /// # Errors
    /// If it does not end.
    pub fn end(mut self) -> Result {
        self.process.wait(LIMIT).map(drop)
    }
}

/// Works off one plan and ends.
///
/// # Errors
/// As [`Load::start`] and [`Load::truth`].
pub fn run(
    implementation: Implementation,
    pod: &Pod,
    target: SocketAddr,
    width: Width,
    plan: &Plan,
) -> Result<Truth> {
    let load = Load::start(
        implementation,
        pod,
        target,
        width,
        std::slice::from_ref(plan),
    )?;
    let truth = load.truth()?;
    load.end()?;
    Ok(truth)
}

/// Starts a server in a pod and waits until it listens. It ends when the value is dropped.
///
/// # Errors
/// If the implementation is not installed or the address is taken.
pub fn serve(implementation: Implementation, pod: &Pod, listen: SocketAddr) -> Result<Process> {
    let mut command = implementation.command("load-serve")?;
    command.arg(listen.to_string());
    await_server(pod, command)
}

/// Starts a server that allows one call at a time on a connection.
///
/// # Errors
/// If the address is taken.
pub fn serve_narrowly(pod: &Pod, listen: SocketAddr) -> Result<Process> {
    let mut command = Implementation::Tonic.command("load-serve")?;
    command.args([&listen.to_string(), "1"]);
    await_server(pod, command)
}

fn await_server(pod: &Pod, command: Command) -> Result<Process> {
    let server = pod.spawn(command)?;
    server.line(LIMIT)?;
    Ok(server)
}
