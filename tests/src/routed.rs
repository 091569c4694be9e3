//! A pair of pods whose Service is routed: the scene of the proxy's tests.

use crate::agent::{Agent, FRESH_LIMIT};
use crate::deadline::eventually;
use crate::error::{Error, Result};
use crate::network::Pod;
use crate::pair::{Members, Pair};
use crate::peer::{Client, Dial};
use crate::process::Process;
use crate::route::Route;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;

/// How often a connection is tried until one is routed.
const ATTEMPTS: u32 = 10;

/// The scene. Fields end in this order.
#[derive(Debug)]
pub struct Routed {
    /// The agent whose proxy it is.
    pub agent: Agent,
    _resident: Process,
    /// The pods.
    pub pair: Pair,
}

impl Routed {
    /// Sets the scene with a route's manifest; new connections of the client are routed when it is ready.
    ///
    /// # Errors
    /// If the machine refuses, or connections stay direct.
    pub fn new(route: &str) -> Result<Self> {
        Self::of(Pair::new(Members::Both)?, route)
    }

    /// [`Routed::new`] with a pair that may have been configured further.
    ///
    /// # Errors
    /// As [`Routed::new`].
    pub fn of(pair: Pair, route: &str) -> Result<Self> {
        pair.node.config().put("route.yaml", route)?;
        let resident = reside(&pair.client)?;
        let agent = pair.start_agent()?;
        await_routed(&agent, &pair.client, pair.target())?;
        Ok(Self {
            agent,
            _resident: resident,
            pair,
        })
    }
}

/// A route that sends everything to the Service of a [`Pair`], to which it is attached.
#[must_use]
pub fn everything() -> String {
    Route::grpc("everything", "load")
        .rule(&Value::Null, &[("load", 1)])
        .manifest()
}

/// Starts a process that does nothing: a pod has one for as long as it lives.
///
/// # Errors
/// If the machine refuses.
pub fn reside(pod: &Pod) -> Result<Process> {
    // Reads from its input, which stays open.
    pod.spawn(Command::new("cat"))
}

/// Awaits that connections from a pod to a Service are routed. Those it makes carry no byte.
///
/// # Errors
/// If they stay direct.
pub fn await_routed(agent: &Agent, pod: &Pod, target: SocketAddr) -> Result {
    let labels = [("path", "routed")];
    let name = "mesh_connection_opened_total";
    let before = agent.metrics()?.count(name, &labels);
    let mut last = Ok(());
    for _ in 0..ATTEMPTS {
        Client::run(pod, &Dial::new([target]))?;
        last = eventually("a routed connection", FRESH_LIMIT, || {
            let metrics = agent.metrics().map_err(|error| error.to_string())?;
            if metrics.count(name, &labels) > before {
                return Ok(());
            }
            Err(format!("none; {}", bypassed(&metrics)))
        });
        if last.is_ok() {
            return Ok(());
        }
    }
    last.map_err(|error| Error::Program {
        program: "mesh-agent run".to_owned(),
        status: error.to_string(),
        stderr: agent.log(),
    })
}

/// Makes a connection that carries no byte, and says whether it is routed.
///
/// # Errors
/// If it is not made.
pub fn is_routed(pod: &Pod, target: SocketAddr) -> Result<bool> {
    let report = Client::run(pod, &Dial::new([target]))?;
    // Routed connections go to a listener on loopback.
    let local = report.first_local.map(|local| local.ip().to_canonical());
    local
        .map(|local| local.is_loopback())
        .ok_or_else(|| Error::Unreadable {
            from: format!("a connection to {target}"),
            answer: format!("{report:?}"),
        })
}

/// Why connections were not routed.
fn bypassed(metrics: &crate::metrics::Metrics) -> String {
    let reasons: Vec<_> = metrics
        .find("mesh_bypass_total", &[])
        .filter(|sample| sample.value > 0.0)
        .map(|sample| format!("{:?}: {}", sample.labels, sample.value))
        .collect();
    format!("bypassed: {}", reasons.join(", "))
}
