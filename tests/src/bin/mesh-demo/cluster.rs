//! The demo's cluster: a node with its agent, a pod per endpoint of the shop, and the load generator's pod.

use mesh_tests::agent::Agent;
use mesh_tests::binary;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::process::Process;
use mesh_tests::shop::Tally;
use mesh_tests::{Error, Result};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// The port of every service and of every endpoint.
const PORT: u16 = 50_051;

const PORT_NAME: &str = "grpc";

/// How long a program of the shop may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The load generator's workload; its calls come from there.
pub(crate) const STOREFRONT: &str = "storefront";

/// The endpoint that leaves midway.
pub(crate) const LEAVER: &str = "inventory-0";

/// The endpoint that joins midway.
pub(crate) const JOINER: &str = "inventory-2";

/// The service whose endpoints change.
pub(crate) const CHANGED: &str = "inventory";

/// A service of the shop.
pub(crate) struct ShopService {
    pub(crate) name: &'static str,
    /// Who calls it.
    pub(crate) caller: &'static str,
    /// Its address, which no device of any namespace has: without the mesh, nobody answers there.
    pub(crate) cluster_ip: &'static str,
    /// Named like the pods of a `StatefulSet`.
    pub(crate) endpoints: &'static [&'static str],
    /// The address of the service that it calls.
    upstream: Option<&'static str>,
}

/// The chain of services, caller before callee.
pub(crate) const SERVICES: &[ShopService] = &[
    ShopService {
        name: "order",
        caller: STOREFRONT,
        cluster_ip: "10.96.0.10",
        endpoints: &["order-0", "order-1"],
        upstream: Some("10.96.0.20"),
    },
    ShopService {
        name: CHANGED,
        caller: "order",
        cluster_ip: "10.96.0.20",
        endpoints: &[LEAVER, "inventory-1", JOINER],
        upstream: Some("10.96.0.30"),
    },
    ShopService {
        name: "payment",
        caller: CHANGED,
        cluster_ip: "10.96.0.30",
        endpoints: &["payment-0", "payment-1"],
        upstream: None,
    },
];

/// Everything that runs. Dropped from top to bottom: callers before the called, the agent's pins last.
pub(crate) struct Cluster {
    load: Process,
    /// Ended by their drop; all of them listen.
    _servers: Vec<Process>,
    agent: Agent,
    endpoints: Vec<Pod>,
    _storefront: Pod,
    _network: Network,
    node: Node,
}

impl Cluster {
    /// Lays out the pods, starts the agent with everything but [`JOINER`] in its manifests, then the shop.
    pub(crate) fn start() -> Result<Self> {
        // Looked for first: what is missing is said before anything is made.
        binary::agent()?;
        let program = binary::peer("mesh-shop")?;
        let node = Node::new("demo")?;
        let mut network = Network::new()?;
        let storefront = network.add_pod(node.cgroup(), "storefront-0", Families::V4)?;
        let mut endpoints = Vec::new();
        for name in SERVICES.iter().flat_map(|service| service.endpoints) {
            endpoints.push(network.add_pod(node.cgroup(), name, Families::V4)?);
        }

        publish_services(&node)?;
        publish_slice(&node, STOREFRONT, [&storefront])?;
        for service in SERVICES {
            let members = members(&endpoints, service, &[JOINER]);
            publish_slice(&node, service.name, members)?;
        }
        let agent = node.start_agent(&[])?;

        let mut servers = Vec::new();
        // The called before the callers.
        for service in SERVICES.iter().rev() {
            for pod in members(&endpoints, service, &[]) {
                servers.push(start_server(&program, service, pod)?);
            }
        }
        let mut command = Command::new(&program);
        command.args([STOREFRONT, "--upstream", &address(SERVICES[0].cluster_ip)]);
        let load = storefront.spawn(command)?;
        Ok(Self {
            load,
            _servers: servers,
            agent,
            endpoints,
            _storefront: storefront,
            _network: network,
            node,
        })
    }

    /// The agent.
    pub(crate) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Where the manifests are.
    pub(crate) fn config(&self) -> String {
        self.node.config().path().display().to_string()
    }

    /// Rewrites inventory's slice: [`JOINER`] in, [`LEAVER`] out. Its process stays, as a terminating pod's does.
    pub(crate) fn change(&self) -> Result {
        let service = SERVICES
            .iter()
            .find(|service| service.name == CHANGED)
            .expect("the table has the service that changes");
        let members = members(&self.endpoints, service, &[LEAVER]);
        self.agent.apply(self.node.config(), |_| {
            publish_slice(&self.node, CHANGED, members)
        })
    }

    /// The newest tally of the load generator, if there is one since the last call.
    pub(crate) fn newest_tally(&self) -> Result<Option<Tally>> {
        let mut newest = None;
        loop {
            match self.load.line(Duration::ZERO) {
                Ok(line) => newest = Some(line),
                Err(Error::Late { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        newest.as_deref().map(read_tally).transpose()
    }

    /// The next tally of the load generator.
    pub(crate) fn next_tally(&self) -> Result<Tally> {
        read_tally(&self.load.line(START_LIMIT)?)
    }
}

fn read_tally(line: &str) -> Result<Tally> {
    serde_json::from_str(line).map_err(|error| Error::Unreadable {
        from: "mesh-shop storefront".to_owned(),
        answer: format!("{error}: {line}"),
    })
}

/// The pods of a service's endpoints, without some.
fn members<'a>(
    pods: &'a [Pod],
    service: &'a ShopService,
    without: &'a [&str],
) -> impl Iterator<Item = &'a Pod> {
    pods.iter().filter(move |pod| {
        service.endpoints.contains(&pod.name()) && !without.contains(&pod.name())
    })
}

fn publish_services(node: &Node) -> Result {
    // Headless: it says whose pod the load generator's is, and is never called.
    let mut manifests = vec![
        Service::new(STOREFRONT, &[])
            .port(PORT_NAME, PORT)
            .manifest(),
    ];
    for service in SERVICES {
        let service = Service::new(service.name, &[service.cluster_ip]).port(PORT_NAME, PORT);
        manifests.push(service.manifest());
    }
    let text = documents(manifests.iter().map(String::as_str));
    node.config().put("services.yaml", &text)
}

fn publish_slice<'a>(
    node: &Node,
    service: &str,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Result {
    let endpoints = pods
        .into_iter()
        .map(|pod| Endpoint::ready(pod.ipv4()).pod(pod.name()));
    let slice = Slice::new(service, PORT_NAME, PORT, endpoints);
    node.config()
        .put(&format!("{service}-endpoints.yaml"), &slice.manifest())
}

fn start_server(program: &std::path::Path, service: &ShopService, pod: &Pod) -> Result<Process> {
    let listen = SocketAddr::new(pod.ipv4(), PORT).to_string();
    let mut command = Command::new(program);
    command.args([service.name, "--listen", &listen, "--endpoint", pod.name()]);
    if let Some(upstream) = service.upstream {
        command.args(["--upstream", &address(upstream)]);
    }
    let server = pod.spawn(command)?;
    server.line(START_LIMIT)?;
    Ok(server)
}

fn address(cluster_ip: &str) -> String {
    format!("{cluster_ip}:{PORT}")
}
