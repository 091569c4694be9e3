//! A caller, and servers of a routed Service `fleet` that come and go.

use crate::agent::Agent;
use crate::error::Result;
use crate::manifest::{Endpoint, Service, Slice, documents, workload};
use crate::network::{Families, Network, Pod};
use crate::node::Node;
use crate::process::Process;
use crate::route::Route;
use crate::routed::{await_routed, reside};
use crate::stage::anywhere;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};

/// The Service's name.
pub const FLEET: &str = "fleet";

/// The scene. Fields end in this order.
#[derive(Debug)]
pub struct Fleet {
    /// The agent whose proxy it is.
    pub agent: Agent,
    _resident: Process,
    /// Workload `caller`.
    pub caller: Pod,
    /// Pods for servers, by number; they have no processes at first.
    pub pods: Vec<Pod>,
    _network: Network,
    /// Where the agent runs.
    pub node: Node,
}

impl Fleet {
    /// Sets the scene with so many pods, the first `ready` of which are endpoints; connections of the caller are routed.
    ///
    /// # Errors
    /// If the machine refuses, or connections stay direct.
    pub fn new(pods: usize, ready: usize) -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller-0", Families::V4)?;
        let pods = (0..pods)
            .map(|number| network.add_pod(node.cgroup(), &name(number), Families::V4))
            .collect::<Result<Vec<_>>>()?;
        let route = Route::grpc("everything", FLEET).rule(&Value::Null, &[(FLEET, 1)]);
        let all = documents([workload("caller", &[caller.ipv4()]), route.manifest()]);
        node.config().put("all.yaml", &all)?;
        let endpoints = pods.iter().take(ready);
        configure(
            &node,
            endpoints.map(|pod| Endpoint::ready(pod.ipv4()).pod(pod.name())),
        )?;
        let resident = reside(&caller)?;
        let agent = node.start_agent(&[])?;
        await_routed(&agent, &caller, target())?;
        Ok(Self {
            agent,
            _resident: resident,
            caller,
            pods,
            _network: network,
            node,
        })
    }

    /// Puts these endpoints into force.
    ///
    /// # Errors
    /// If they are not applied.
    pub fn apply(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Result {
        let change = |_: &_| configure(&self.node, endpoints);
        self.agent.apply(self.node.config(), change)
    }

    /// A pod as a ready endpoint.
    #[must_use]
    pub fn ready(&self, number: usize) -> Endpoint {
        Endpoint::ready(self.pods[number].ipv4()).pod(&name(number))
    }

    /// A pod as a terminating endpoint.
    #[must_use]
    pub fn terminating(&self, number: usize) -> Endpoint {
        Endpoint::terminating(self.pods[number].ipv4()).pod(&name(number))
    }

    /// Where a pod's server listens.
    #[must_use]
    pub fn endpoint(&self, number: usize) -> SocketAddr {
        SocketAddr::new(self.pods[number].ipv4(), anywhere().port())
    }
}

/// Name of a pod, and what its server says.
#[must_use]
pub fn name(number: usize) -> String {
    format!("{FLEET}-{number}")
}

/// The Service's address and port.
#[must_use]
pub fn target() -> SocketAddr {
    (Ipv4Addr::new(10, 96, 0, 30), 80).into()
}

fn configure(node: &Node, endpoints: impl IntoIterator<Item = Endpoint>) -> Result {
    let service = Service::new(FLEET, &[&target().ip().to_string()]);
    let service = service.port("grpc", target().port());
    let slice = Slice::new(FLEET, "grpc", anywhere().port(), endpoints);
    let text = documents([service.manifest(), slice.manifest()]);
    node.config().put("fleet.yaml", &text)
}
