//! Clients that try out everything gRPC promises, and say what was kept.
//!
//! They speak `mesh.test.Features`, whose messages are bare bytes, with a server in Python (`peers/features.py`):
//!
//! | method | answers |
//! |---|---|
//! | `Echo`, `Squeeze` | each request; request metadata `x-text` and `x-bytes-bin` in headers and trailers. `Squeeze`: compressed |
//! | `Count` | how many requests there were, and their bytes |
//! | `Spread` | as many replies as the request says |
//! | `Hold` | headers at once, its key when `Release` names it |
//! | `Release`, `Ended` | lets a `Hold` go on; waits until it was given up |
//! | `Gather` | when as many calls are open as the request says |
//! | `Peer` | the address the call came from |
//! | `FailFirst` | `UNAVAILABLE` to a first attempt |

use crate::error::{Error, Result};
use crate::network::Pod;
use crate::process::Process;
use crate::rpc::Implementation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The service's name.
pub const SERVICE: &str = "mesh.test.Features";

/// What each client tries out, in this order.
pub const SCENARIOS: [&str; 12] = [
    "unary",
    "client_streaming",
    "server_streaming",
    "bidirectional",
    "metadata",
    "early_headers",
    "deadline",
    "cancellation",
    "four_mib",
    "compression",
    "thousand_streams",
    "peer",
];

/// Calls of one client by method and status, as it ends them.
pub const CALLS: [(&str, &str, u64); 11] = [
    ("Echo", "OK", 4),
    ("Count", "OK", 1),
    ("Spread", "OK", 1),
    ("Hold", "OK", 1),
    ("Hold", "CANCELLED", 1),
    ("Hold", "DEADLINE_EXCEEDED", 1),
    ("Release", "OK", 1),
    ("Ended", "OK", 2),
    ("Squeeze", "OK", 1),
    ("Gather", "OK", 1_000),
    ("Peer", "OK", 1),
];

/// How long a client may take: whatever a call waits for comes at once, unless it never does.
const LIMIT: Duration = Duration::from_secs(60);

/// What a client reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What went wrong, by scenario; those that went right have nothing.
    pub scenarios: BTreeMap<String, Option<String>>,
    /// Where the server saw the client.
    pub seen_at: Option<SocketAddr>,
}

impl Report {
    /// What went wrong.
    #[must_use]
    pub fn wrong(&self) -> BTreeMap<&str, &str> {
        let missing = SCENARIOS
            .into_iter()
            .filter(|&name| !self.scenarios.contains_key(name))
            .map(|name| (name, "not tried"));
        self.scenarios
            .iter()
            .filter_map(|(name, wrong)| Some((name.as_str(), wrong.as_deref()?)))
            .chain(missing)
            .collect()
    }
}

/// Tries everything out from a pod.
///
/// # Errors
/// If the implementation is not installed or does not come to an end.
pub fn run(implementation: Implementation, pod: &Pod, target: SocketAddr) -> Result<Report> {
    let mut command = implementation.command("features")?;
    command.arg(target.to_string());
    let line = pod.spawn(command)?.line(LIMIT)?;
    serde_json::from_str(&line).map_err(|error| Error::Unreadable {
        from: format!("{implementation:?} client"),
        answer: format!("{error}: {line}"),
    })
}

/// Starts the server in a pod and waits until it listens. It ends when the value is dropped.
///
/// # Errors
/// If grpcio is not installed or the address is taken.
pub fn serve(pod: &Pod, listen: SocketAddr) -> Result<Process> {
    let mut command = Implementation::Grpcio.command("features-serve")?;
    command.arg(listen.to_string());
    let server = pod.spawn(command)?;
    server.line(LIMIT)?;
    Ok(server)
}
