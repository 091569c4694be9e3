//! Three pairs of pods that take turns.

use super::PAIRS;
use crate::one_cpu::{leave_one_cpu, pin};
use crate::rpcs::{Client, Load, Slice};
use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::cgroup::Cgroup;
use mesh_tests::load;
use mesh_tests::manifest::{self, Endpoint, Service, documents, workload};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::process::Process;
use mesh_tests::rpc::Implementation::Tonic;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Addresses of the Services of the first pair's server, which is elsewhere, and of that in the mesh.
const CLUSTER_IPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 20)),
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 21)),
];

/// What the servers add to the Service's ports.
const TARGET: u16 = 50_000;

/// A port of the Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// gRPC, served by tonic.
    Rpcs,
    /// gRPC, for a server whose every byte is told.
    Told,
    /// Nobody says what it speaks.
    Plain,
}

impl Port {
    const ALL: [Self; 3] = [Self::Rpcs, Self::Told, Self::Plain];

    fn name(self) -> &'static str {
        match self {
            Self::Rpcs => "rpcs",
            Self::Told => "told",
            Self::Plain => "plain",
        }
    }

    fn number(self) -> u16 {
        80 + self as u16
    }
}

/// The pods. Fields end in this order: processes before pods before cgroups.
pub(super) struct Pairs {
    pub(super) agent: Agent,
    _servers: Vec<Process>,
    /// Client and server of each pair.
    pods: Vec<[Pod; 2]>,
    cpu: usize,
    _network: Network,
    _outside: Cgroup,
    node: Node,
}

/// Slices of each pair with the CPU time of its server in µs.
pub(super) struct Worked {
    pub(super) slices: [Vec<(Slice, u64)>; PAIRS.len()],
    /// CPU time of the agent while the pair in the mesh had its turn.
    pub(super) agent_cpu_us: u64,
}

impl Pairs {
    /// Sets the scene: the last pair is in the mesh.
    pub(super) fn new() -> Result<Self> {
        let cpu = leave_one_cpu()?;
        let node = Node::new("node-a")?;
        let outside = Cgroup::new()?;
        let mut network = Network::new()?;
        let mut pods = Vec::new();
        let mut servers = Vec::new();
        for pair in 0..PAIRS.len() {
            let cgroup = if is_member(pair) {
                node.cgroup()
            } else {
                &outside
            };
            let mut pod =
                |role: &str| network.add_pod(cgroup, &format!("{role}{pair}-0"), Families::V4);
            let both = [pod("client")?, pod("server")?];
            let server = load::serve(Tonic, &both[1], endpoint(&both[1], Port::Rpcs))?;
            pin(server.id(), cpu)?;
            servers.push(server);
            pods.push(both);
        }
        let [direct, member] = [&pods[0], &pods[PAIRS.len() - 1]];
        let manifests = [
            service("elsewhere", CLUSTER_IPS[0], &direct[1]),
            service("load", CLUSTER_IPS[1], &member[1]),
            workload("client", &[member[0].ipv4()]),
        ];
        node.config().put("load.yaml", &documents(manifests))?;
        Ok(Self {
            agent: node.start_agent(&[])?,
            _servers: servers,
            pods,
            cpu,
            _network: network,
            _outside: outside,
            node,
        })
    }

    /// Client and server of a pair.
    pub(super) fn pods(&self, pair: usize) -> &[Pod; 2] {
        &self.pods[pair]
    }

    /// Where one pair's client connects to, for one pair's server.
    pub(super) fn target(&self, [client, server]: [usize; 2], port: Port) -> SocketAddr {
        if is_member(client) {
            let address = CLUSTER_IPS[usize::from(is_member(server))];
            return SocketAddr::new(address, port.number());
        }
        self.endpoint(server, port)
    }

    /// Where a pair's server listens.
    pub(super) fn endpoint(&self, pair: usize, port: Port) -> SocketAddr {
        endpoint(&self.pods[pair][1], port)
    }

    /// CPU time of the agent so far.
    pub(super) fn agent_cpu_us(&self) -> Result<u64> {
        self.node.agent_cgroup().cpu_us()
    }

    /// Has every pair make RPCs in slices, in turn.
    pub(super) fn work(
        &self,
        connections: u32,
        streams: u32,
        slices: u32,
        slice_ms: u32,
    ) -> Result<Worked> {
        let mut clients = (0..PAIRS.len())
            .map(|pair| self.client(pair, connections, streams))
            .collect::<Result<Vec<_>>>()?;
        let mut worked = Worked {
            slices: Default::default(),
            agent_cpu_us: 0,
        };
        // The first round warms up and is thrown away. Every round begins with another pair: what a slice finds of its
        // predecessor's in the caches is then shared out evenly.
        for round in 0..=slices as usize {
            for turn in 0..PAIRS.len() {
                let pair = (round + turn) % PAIRS.len();
                let server = self.pods[pair][1].cgroup();
                let [server_us, agent_us] = [server.cpu_us()?, self.agent_cpu_us()?];
                let slice = clients[pair].slice(slice_ms)?;
                if round == 0 {
                    continue;
                }
                let server_us = server.cpu_us()? - server_us;
                worked.slices[pair].push((slice, server_us));
                if is_member(pair) {
                    worked.agent_cpu_us += self.agent_cpu_us()? - agent_us;
                }
            }
        }
        Ok(worked)
    }

    fn client(&self, pair: usize, connections: u32, streams: u32) -> Result<Client> {
        let target = self.target([pair, pair], Port::Rpcs);
        let load = Load {
            connections,
            streams,
            bytes: 1_024,
        };
        let client = Client::start(&self.pods[pair][0], target, load)?;
        pin(client.id(), self.cpu)?;
        Ok(client)
    }
}

fn endpoint(pod: &Pod, port: Port) -> SocketAddr {
    SocketAddr::new(pod.ipv4(), TARGET + port.number())
}

/// A Service with all ports and one endpoint.
fn service(name: &str, cluster_ip: IpAddr, server: &Pod) -> String {
    let service = Service::new(name, &[&cluster_ip.to_string()])
        .port(Port::Rpcs.name(), Port::Rpcs.number())
        .port(Port::Told.name(), Port::Told.number())
        .plain_port(Port::Plain.name(), Port::Plain.number());
    let slices = Port::ALL.map(|port| {
        let endpoint = Endpoint::ready(server.ipv4()).pod(server.name());
        manifest::Slice::new(name, port.name(), TARGET + port.number(), [endpoint]).manifest()
    });
    documents(slices.into_iter().chain([service.manifest()]))
}

/// Whether a pair is in the mesh.
fn is_member(pair: usize) -> bool {
    pair == PAIRS.len() - 1
}
