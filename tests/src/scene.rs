//! One caller and three pods of a Service `inventory`, which say who they are: the scene of most tests.

use crate::error::Result;
use crate::manifest::{Endpoint, Service, Slice, documents, workload};
use crate::network::{Families, Network, Pod};
use crate::node::Node;
use crate::peer::{Mode, Server};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The Service's address; no pod has a route to it.
pub const CLUSTER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

/// The Service's port.
pub const PORT: u16 = 80;

/// The port that its endpoints listen at.
pub const TARGET_PORT: u16 = 7_000;

/// The scene. Fields end in this order: processes before pods, pods before the node.
#[derive(Debug)]
pub struct Scene {
    /// The servers, by number.
    pub servers: Vec<Server>,
    /// The pods they run in: `inventory-0` to `inventory-2`.
    pub callees: Vec<Pod>,
    /// Workload `caller`.
    pub caller: Pod,
    /// The bridge between them.
    pub network: Network,
    /// Where the agent is to run.
    pub node: Node,
}

impl Scene {
    /// Sets the scene with servers that say who they are; the configuration names the caller only.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn open() -> Result<Self> {
        Self::with_mode(Mode::Banner)
    }

    /// Sets the scene with servers of another mode.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn with_mode(mode: Mode) -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller-0", Families::V4)?;
        let mut callees = Vec::new();
        let mut servers = Vec::new();
        for number in 0..3 {
            let name = Self::identity(number);
            let pod = network.add_pod(node.cgroup(), &name, Families::V4)?;
            let mut server = Server::start(&pod)?;
            server.listen(SocketAddr::new(pod.ipv4(), TARGET_PORT), mode, &name)?;
            callees.push(pod);
            servers.push(server);
        }
        node.config()
            .put("caller.yaml", &workload("caller", &[caller.ipv4()]))?;
        Ok(Self {
            servers,
            callees,
            caller,
            network,
            node,
        })
    }

    /// Name of a pod, and what its server says.
    #[must_use]
    pub fn identity(number: usize) -> String {
        format!("inventory-{number}")
    }

    /// The Service.
    #[must_use]
    pub fn service(&self) -> Service {
        Service::new("inventory", &["10.96.0.10"]).port("grpc", PORT)
    }

    /// A pod as a ready endpoint.
    #[must_use]
    pub fn endpoint(&self, number: usize) -> Endpoint {
        Endpoint::ready(self.callees[number].ipv4()).pod(&Self::identity(number))
    }

    /// A pod as a terminating endpoint.
    #[must_use]
    pub fn terminating(&self, number: usize) -> Endpoint {
        Endpoint::terminating(self.callees[number].ipv4()).pod(&Self::identity(number))
    }

    /// A slice of the Service.
    #[must_use]
    pub fn slice(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Slice {
        self.slice_of("inventory", endpoints)
    }

    /// A slice of another Service with the shop's pods.
    #[must_use]
    pub fn slice_of(&self, service: &str, endpoints: impl IntoIterator<Item = Endpoint>) -> Slice {
        Slice::new(service, "grpc", TARGET_PORT, endpoints)
    }

    /// Writes the Service and its slice to `inventory.yaml`.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn configure(
        &self,
        service: &Service,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Result {
        let text = documents([service.manifest(), self.slice(endpoints).manifest()]);
        self.node.config().put("inventory.yaml", &text)
    }
}
