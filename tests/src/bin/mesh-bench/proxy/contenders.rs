//! Four pairs of pods that take turns, each with its own way from the client to the server.

use super::SETUPS;
use super::rivals::{Rival, listen};
use crate::one_cpu::{leave_one_cpu, pin};
use crate::rpcs::{Client, Load, Slice};
use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::cgroup::Cgroup;
use mesh_tests::error::Context;
use mesh_tests::load;
use mesh_tests::manifest::{self, Endpoint, Service, documents, workload};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::process::Process;
use mesh_tests::route::Route;
use mesh_tests::routed::{await_routed, reside};
use mesh_tests::rpc::Implementation::Tonic;
use mesh_tests::sockets::connections;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tempfile::TempDir;

/// The Service's address.
const CLUSTER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 20));

/// The servers of a pair, which are ports of the Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// For the loads.
    Many = 0,
    /// Allows one RPC at a time on a connection, so that each call has a connection upstream of its own.
    One = 1,
}

impl Server {
    const ALL: [Self; 2] = [Self::Many, Self::One];

    fn name(self) -> &'static str {
        match self {
            Self::Many => "many",
            Self::One => "one",
        }
    }

    fn port(self) -> u16 {
        80 + self as u16
    }

    fn endpoint(self, pod: &Pod) -> SocketAddr {
        SocketAddr::new(pod.ipv4(), 50_000 + self.port())
    }
}

/// The pods. Fields end in this order: processes before pods before cgroups.
pub(super) struct Contenders {
    agent: Agent,
    /// The proxies that are not the mesh's, by set-up.
    proxies: [Option<Process>; SETUPS.len()],
    _servers: Vec<Process>,
    _resident: Process,
    /// Client and server of each pair.
    pods: Vec<[Pod; 2]>,
    cpu: usize,
    _place: TempDir,
    _network: Network,
    _outside: Cgroup,
    node: Node,
}

/// A slice of one pair.
pub(super) struct Turn {
    pub(super) slice: Slice,
    /// CPU time of client, server and proxy, the warm-up's included.
    pub(super) cpu_us: u64,
}

impl Contenders {
    /// Sets the scene.
    pub(super) fn new() -> Result<Self> {
        let cpu = leave_one_cpu()?;
        let place = tempfile::tempdir().context(|| "make a temporary directory")?;
        let node = Node::new("node-a")?;
        let outside = Cgroup::new()?;
        let mut network = Network::new()?;
        let mut pods = Vec::new();
        let mut servers = Vec::new();
        let mut proxies = [const { None }; SETUPS.len()];
        for (setup, proxy) in proxies.iter_mut().enumerate() {
            let cgroup = if setup == super::MESH {
                node.cgroup()
            } else {
                &outside
            };
            let mut pod =
                |role: &str| network.add_pod(cgroup, &format!("{role}{setup}-0"), Families::V4);
            let both = [pod("client")?, pod("server")?];
            let endpoints = Server::ALL.map(|server| server.endpoint(&both[1]));
            servers.push(load::serve(Tonic, &both[1], endpoints[0])?);
            servers.push(load::serve_narrowly(&both[1], endpoints[1])?);
            *proxy = rival(setup)
                .map(|rival| rival.start(&both[0], &endpoints, place.path()))
                .transpose()?;
            pods.push(both);
        }
        for process in servers.iter().chain(proxies.iter().flatten()) {
            pin(process.id(), cpu)?;
        }
        let [client, server] = &pods[super::MESH];
        node.config().put("all.yaml", &manifests(client, server))?;
        let resident = reside(client)?;
        let agent = node.start_agent(&["--proxy-threads", "1"])?;
        await_routed(
            &agent,
            client,
            SocketAddr::new(CLUSTER_IP, Server::Many.port()),
        )?;
        pin(agent.id(), cpu)?;
        Ok(Self {
            agent,
            proxies,
            _servers: servers,
            _resident: resident,
            pods,
            cpu,
            _place: place,
            _network: network,
            _outside: outside,
            node,
        })
    }

    /// The client's pod.
    pub(super) fn client(&self, setup: usize) -> &Pod {
        &self.pods[setup][0]
    }

    /// The process that is the proxy of a set-up, if there is one.
    pub(super) fn proxy(&self, setup: usize) -> Option<u32> {
        if setup == super::MESH {
            return Some(self.agent.id());
        }
        self.proxies[setup].as_ref().map(Process::id)
    }

    /// Where a client connects to.
    pub(super) fn target(&self, setup: usize, server: Server) -> SocketAddr {
        match rival(setup) {
            Some(_) => listen(server as usize),
            None if setup == super::MESH => SocketAddr::new(CLUSTER_IP, server.port()),
            None => server.endpoint(&self.pods[setup][1]),
        }
    }

    /// How many connections a server of a set-up has.
    pub(super) fn accepted(&self, setup: usize, server: Server) -> Result<usize> {
        let pod = &self.pods[setup][1];
        let endpoint = server.endpoint(pod);
        let all = connections(pod)?;
        Ok(all.iter().filter(|one| one.local == endpoint).count())
    }

    /// Has every pair make RPCs in slices, in turn.
    pub(super) fn work(
        &self,
        load: Load,
        slices: u32,
        slice_ms: u32,
    ) -> Result<[Vec<Turn>; SETUPS.len()]> {
        let mut clients = Vec::new();
        for setup in 0..SETUPS.len() {
            let target = self.target(setup, Server::Many);
            let client = Client::start(self.client(setup), target, load)?;
            pin(client.id(), self.cpu)?;
            clients.push(client);
        }
        let mut worked: [Vec<Turn>; SETUPS.len()] = Default::default();
        // The first round warms up and is thrown away. Every round begins with another pair: what a slice finds of its
        // predecessor's in the caches is then shared out evenly.
        for round in 0..=slices as usize {
            for turn in 0..SETUPS.len() {
                let setup = (round + turn) % SETUPS.len();
                let before_us = self.cpu_us(setup)?;
                let slice = clients[setup].slice(slice_ms)?;
                let cpu_us = self.cpu_us(setup)? - before_us;
                if round > 0 {
                    worked[setup].push(Turn { slice, cpu_us });
                }
            }
        }
        Ok(worked)
    }

    /// CPU time of a pair and its proxy so far; what the kernel does for them is booked to them.
    fn cpu_us(&self, setup: usize) -> Result<u64> {
        let [client, server] = &self.pods[setup];
        let mut sum = client.cgroup().cpu_us()? + server.cgroup().cpu_us()?;
        if setup == super::MESH {
            sum += self.node.agent_cgroup().cpu_us()?;
        }
        Ok(sum)
    }
}

fn rival(setup: usize) -> Option<Rival> {
    match SETUPS[setup] {
        "Envoy" => Some(Rival::Envoy),
        "HAProxy" => Some(Rival::HaProxy),
        _ => None,
    }
}

/// A Service with both servers as ports, and a route that sends everything to it.
fn manifests(client: &Pod, server: &Pod) -> String {
    let mut service = Service::new("load", &[&CLUSTER_IP.to_string()]);
    let mut manifests = vec![workload("client", &[client.ipv4()])];
    for port in Server::ALL {
        service = service.port(port.name(), port.port());
        let endpoint = Endpoint::ready(server.ipv4()).pod(server.name());
        let target = port.endpoint(server).port();
        manifests.push(manifest::Slice::new("load", port.name(), target, [endpoint]).manifest());
        // A route's backend is a port: each has its own route.
        let route = Route::grpc(port.name(), "load").of_port(port.port());
        manifests.push(route.rule(&Value::Null, &[("load", 1)]).manifest());
    }
    manifests.push(service.manifest());
    documents(manifests)
}
