//! Callers of a routed Service `load`, and several servers behind it that keep a record of what they get.

use crate::agent::Agent;
use crate::ask::{Answer, Asker, Question};
use crate::deadline::eventually;
use crate::error::Result;
use crate::load::{self, Call, Plan, SERVICE, Truth, Width};
use crate::manifest::{Endpoint, Service, Slice, documents, workload};
use crate::network::{Families, Network, Pod};
use crate::node::Node;
use crate::pair::{CLUSTER_IP, PORT, TARGET_PORT};
use crate::process::Process;
use crate::route::policy;
use crate::routed::{await_routed, reside};
use crate::rpc::Implementation::Tonic;
use crate::stage::anywhere;
use crate::witness::{Sighting, Witness};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a call may take to come.
const LIMIT: Duration = Duration::from_secs(20);

/// The scene. Fields end in this order.
#[derive(Debug)]
pub struct Witnessed {
    /// The servers, by number.
    pub servers: Vec<Witness>,
    /// The agent whose proxy it is.
    pub agent: Agent,
    _residents: Vec<Process>,
    /// The pods that the servers are in: `server-0` and so on.
    pub pods: Vec<Pod>,
    /// Workloads `client-0` and so on.
    pub callers: Vec<Pod>,
    network: Network,
    /// Where the agent works.
    pub node: Node,
}

/// How a scene is set.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The Service; its slice names every server.
    pub service: Service,
    /// Servers.
    pub servers: usize,
    /// Callers.
    pub callers: usize,
    /// Sections of the Service's `MeshPolicy`, one of which is about requests.
    pub sections: Value,
}

impl Setting {
    /// One caller, so many servers, and the sections of the Service's `MeshPolicy`.
    #[must_use]
    pub fn new(servers: usize, sections: Value) -> Self {
        Self {
            service: service(),
            servers,
            callers: 1,
            sections,
        }
    }

    /// Sets how many callers there are.
    #[must_use]
    pub const fn callers(mut self, count: usize) -> Self {
        self.callers = count;
        self
    }

    /// Sets the Service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.service = service;
        self
    }

    /// Sets the scene; every caller's new connections are routed when it is ready.
    ///
    /// # Errors
    /// If the machine refuses, or connections stay direct.
    pub fn open(self) -> Result<Witnessed> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let mut add = |name: String| network.add_pod(node.cgroup(), &name, Families::V4);
        let callers = (0..self.callers).map(|number| add(format!("client{number}-0")));
        let callers: Vec<Pod> = callers.collect::<Result<_>>()?;
        let pods = (0..self.servers).map(|number| add(format!("server-{number}")));
        let pods: Vec<Pod> = pods.collect::<Result<_>>()?;
        let servers = pods.iter().map(|pod| Witness::start(pod, anywhere()));
        let servers = servers.collect::<Result<_>>()?;
        let residents = callers.iter().map(reside).collect::<Result<_>>()?;
        let endpoints = pods.iter().map(endpoint);
        let config = node.config();
        config.put("load.yaml", &manifest(&self.service, endpoints))?;
        config.put("policy.yaml", &policy("load", "load", &self.sections))?;
        let workloads = callers.iter().enumerate();
        let workloads =
            workloads.map(|(number, pod)| workload(&format!("client{number}"), &[pod.ipv4()]));
        config.put("callers.yaml", &documents(workloads))?;
        let agent = node.start_agent(&[])?;
        for pod in &callers {
            await_routed(&agent, pod, target())?;
        }
        Ok(Witnessed {
            servers,
            agent,
            _residents: residents,
            pods,
            callers,
            network,
            node,
        })
    }
}

impl Witnessed {
    /// Adds a server that no slice names.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn add_server(&mut self) -> Result {
        let name = format!("server-{}", self.pods.len());
        let pod = self
            .network
            .add_pod(self.node.cgroup(), &name, Families::V4)?;
        self.servers.push(Witness::start(&pod, anywhere())?);
        self.pods.push(pod);
        Ok(())
    }

    /// Has the Service's slice name these servers, and waits until that is in force.
    ///
    /// # Errors
    /// If it is not in time.
    pub fn apply_endpoints(&self, numbers: impl IntoIterator<Item = usize>) -> Result {
        let endpoints = numbers
            .into_iter()
            .map(|number| endpoint(&self.pods[number]));
        self.apply("load.yaml", &manifest(&service(), endpoints))
    }

    /// Puts other sections of the Service's policy in force.
    ///
    /// # Errors
    /// If they are not in time.
    pub fn apply_policy(&self, sections: &Value) -> Result {
        self.apply("policy.yaml", &policy("load", "load", sections))
    }

    /// Puts a file of manifests in force.
    ///
    /// # Errors
    /// If it is not in time.
    pub fn apply(&self, file: &str, manifests: &str) -> Result {
        self.agent
            .apply(self.node.config(), |config| config.put(file, manifests))
    }

    /// What each server has seen since it was last asked or told anything, in order of time.
    ///
    /// # Errors
    /// If one has gone.
    pub fn seen(&mut self) -> Result<Vec<Vec<Sighting>>> {
        self.servers.iter_mut().map(Witness::seen).collect()
    }

    /// Awaits that a server gets a call; gives what each has seen since it was last asked or told anything.
    ///
    /// # Errors
    /// If it gets none in time.
    pub fn await_call(&mut self, server: usize) -> Result<Vec<Vec<Sighting>>> {
        let mut all = self.seen()?;
        eventually(&format!("a call to server {server}"), LIMIT, || {
            let more = self.seen().map_err(|error| error.to_string())?;
            for (seen, more) in all.iter_mut().zip(more) {
                seen.extend(more);
            }
            if all[server].is_empty() {
                return Err("none".to_owned());
            }
            Ok(())
        })?;
        // Those that came to servers that were asked before that one.
        for (seen, more) in all.iter_mut().zip(self.seen()?) {
            seen.extend(more);
        }
        Ok(all)
    }

    /// How many calls each server has seen since it was last asked or told anything.
    ///
    /// # Errors
    /// If one has gone.
    pub fn shares(&mut self) -> Result<Vec<u64>> {
        Ok(self.seen()?.iter().map(|seen| seen.len() as u64).collect())
    }

    /// Has the first caller make so many calls over one connection, so many at a time.
    ///
    /// # Errors
    /// If the client fails.
    pub fn call(&self, count: usize, streams: u32) -> Result<Truth> {
        let width = Width {
            connections: 1,
            streams,
        };
        load::run(Tonic, &self.callers[0], target(), width, &calls(count))
    }

    /// Connects a caller that makes single calls.
    ///
    /// # Errors
    /// If the connection does not come about.
    pub fn asker(&self, caller: usize) -> Result<Asker> {
        Asker::start(&self.callers[caller], target())
    }

    /// The agent's word on an endpoint, as `mesh-agent endpoints` shows it.
    ///
    /// # Errors
    /// If the agent does not answer.
    pub fn state(&self, server: usize) -> Result<String> {
        let address = self.address(server).to_string();
        let told = self.agent.api("endpoints")?;
        let mut rows = told["endpoints"].as_array().into_iter().flatten();
        let row = rows.find(|row| row["address"] == *address && row["service"] == "shop/load");
        let state = row.and_then(|row| row["state"].as_str());
        Ok(state.unwrap_or("unknown").to_owned())
    }

    /// Where a server listens.
    #[must_use]
    pub fn address(&self, server: usize) -> SocketAddr {
        SocketAddr::new(self.pods[server].ipv4(), TARGET_PORT)
    }
}

/// The Service.
#[must_use]
pub fn service() -> Service {
    Service::new("load", &[CLUSTER_IP]).port("grpc", PORT)
}

/// The Service with these endpoints.
#[must_use]
pub fn manifest(service: &Service, endpoints: impl IntoIterator<Item = Endpoint>) -> String {
    let slice = Slice::new("load", "grpc", TARGET_PORT, endpoints);
    documents([service.manifest(), slice.manifest()])
}

/// A pod as a ready endpoint.
#[must_use]
pub fn endpoint(pod: &Pod) -> Endpoint {
    Endpoint::ready(pod.ipv4()).pod(pod.name())
}

/// What callers connect to.
///
/// # Panics
/// Never: the address is a literal.
#[must_use]
pub fn target() -> SocketAddr {
    SocketAddr::new(CLUSTER_IP.parse().expect("an address"), PORT)
}

/// So many small calls.
#[must_use]
pub fn calls(count: usize) -> Plan {
    let call = Call {
        request_bytes: 16,
        reply_bytes: 16,
        ..Call::unary("Get", 0)
    };
    Plan::of(&call, count)
}

/// Makes a call with these headers that says who answered.
///
/// # Errors
/// If the client has gone.
pub fn ask(asker: &mut Asker, headers: &[(&str, &str)]) -> Result<Answer> {
    asker.ask(&Question::new(&format!("/{SERVICE}/Get"), headers))
}
