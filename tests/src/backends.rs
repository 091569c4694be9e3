//! A Service that is called and two that its routes may send to, each with a server that says the Service's name.

use crate::error::Result;
use crate::manifest::{Endpoint, Service, Slice};
use crate::network::{Families, Network, Pod};
use crate::node::Node;
use crate::process::Process;
use crate::rpc::Implementation::Tonic;
use crate::stage::anywhere;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The Service that is called.
pub const FRONT: &str = "front";

const SERVICES: [&str; 3] = [FRONT, "blue", "green"];

/// The servers. Fields end in this order.
#[derive(Debug)]
pub struct Backends {
    _servers: Vec<Process>,
    _pods: Vec<Pod>,
}

impl Backends {
    /// Starts the servers; gives the Services' manifests with them.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn start(node: &Node, network: &mut Network) -> Result<(Self, Vec<String>)> {
        let mut manifests = Vec::new();
        let mut servers = Vec::new();
        let mut pods = Vec::new();
        for (number, name) in (0..).zip(SERVICES) {
            let pod = network.add_pod(node.cgroup(), &format!("{name}-0"), Families::V4)?;
            servers.push(Tonic.serve(&pod, anywhere(), name)?);
            let service = Service::new(name, &[&address(number).to_string()]);
            let service = service.port("grpc", front().port());
            let endpoint = Endpoint::ready(pod.ipv4()).pod(pod.name());
            manifests.push(service.manifest());
            manifests.push(Slice::new(name, "grpc", anywhere().port(), [endpoint]).manifest());
            pods.push(pod);
        }
        let backends = Self {
            _servers: servers,
            _pods: pods,
        };
        Ok((backends, manifests))
    }
}

/// Where [`FRONT`] is called.
#[must_use]
pub fn front() -> SocketAddr {
    (address(0), 80).into()
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 96, 0, 40 + number).into()
}
