//! A client's and a server's pod of a Service `load`, each in the mesh or not: the scene of the meter's tests.

use crate::agent::Agent;
use crate::cgroup::Cgroup;
use crate::error::Result;
use crate::manifest::{Endpoint, Service, Slice, documents, workload};
use crate::network::{Families, Network, Pod};
use crate::node::Node;
use std::net::{IpAddr, SocketAddr};

/// The Service's address.
pub const CLUSTER_IP: &str = "10.96.0.20";

/// The Service's port.
pub const PORT: u16 = 80;

/// The port that the server listens at.
pub const TARGET_PORT: u16 = 50_051;

/// Which of the two pods are in the mesh's cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// Both: a connection has both its ends on this node.
    Both,
    /// The client: its server is as good as on another node.
    Client,
    /// The server.
    Server,
}

/// The scene. Fields end in this order: pods before the node and the other cgroup.
#[derive(Debug)]
pub struct Pair {
    /// Workload `client`.
    pub client: Pod,
    /// Workload `server`, the only endpoint.
    pub server: Pod,
    /// The bridge between them.
    pub network: Network,
    /// Where the agent is to run.
    pub node: Node,
    /// A cgroup that is not the mesh's.
    pub outside: Cgroup,
    members: Members,
}

impl Pair {
    /// Sets the scene and configures the Service.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn new(members: Members) -> Result<Self> {
        let node = Node::new("node-a")?;
        let outside = Cgroup::new()?;
        let mut network = Network::new()?;
        let place = |is_inside: bool| if is_inside { node.cgroup() } else { &outside };
        let client =
            network.add_pod(place(members != Members::Server), "client-0", Families::V4)?;
        let server =
            network.add_pod(place(members != Members::Client), "server-0", Families::V4)?;
        let pair = Self {
            client,
            server,
            network,
            node,
            outside,
            members,
        };
        pair.configure(pair.server.ipv4())?;
        Ok(pair)
    }

    /// Gives the server another address.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn configure(&self, server: IpAddr) -> Result {
        self.node.config().put(
            "load.yaml",
            &documents([
                Service::new("load", &[CLUSTER_IP])
                    .port("grpc", PORT)
                    .manifest(),
                Slice::new(
                    "load",
                    "grpc",
                    TARGET_PORT,
                    [Endpoint::ready(server).pod(self.server.name())],
                )
                .manifest(),
                workload("client", &[self.client.ipv4()]),
            ]),
        )
    }

    /// Starts an agent.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start_agent(&self) -> Result<Agent> {
        self.node.start_agent(&[])
    }

    /// Where the server listens.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.server.ipv4(), TARGET_PORT)
    }

    /// Where the client connects to: the Service, or the endpoint if nobody rewrites.
    ///
    /// # Panics
    /// Never: the address is a literal.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        if self.members == Members::Server {
            return self.endpoint();
        }
        SocketAddr::new(CLUSTER_IP.parse().expect("an address"), PORT)
    }
}
