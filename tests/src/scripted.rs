//! A caller, somebody beside it, and Services whose endpoints follow scripts.

mod case;

pub use case::{Case, Ends, RESETS, Wanted, check_all};

use crate::agent::Agent;
use crate::beside::Beside;
use crate::error::Result;
use crate::heard::{Heard, Said};
use crate::http2::{Block, client_begin, headers, message};
use crate::manifest::{Endpoint, Service, Slice, documents, workload};
use crate::network::{Families, Network, Pod};
use crate::node::Node;
use crate::process::Process;
use crate::route::Route;
use crate::routed::{await_routed, reside};
use crate::script::{Greeting, Scripts};
use crate::wire::{Dialling, Until, Wire};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The Service whose endpoint follows scripts.
pub const SCRIPTED: &str = "scripted";

/// The scene. Fields end in this order.
#[derive(Debug)]
pub struct Scripted {
    /// The call of another pod.
    pub beside: Beside,
    /// The caller.
    pub caller: Caller,
    /// What endpoints do.
    pub scripts: Scripts,
    /// The agent between them.
    pub agent: Agent,
    services: BTreeMap<&'static str, SocketAddr>,
    _residents: Vec<Process>,
    _pods: Vec<Pod>,
    _network: Network,
    _node: Node,
}

/// A caller with a connection to each Service, which outlives everything that endpoints do.
#[derive(Debug)]
pub struct Caller {
    wire: Wire,
    connections: BTreeMap<&'static str, Connection>,
}

#[derive(Debug)]
struct Connection {
    socket: usize,
    stream: u32,
    heard: Heard,
}

impl Scripted {
    /// Sets the scene with one Service for each greeting, [`SCRIPTED`] among them.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn open(greetings: &[(&'static str, Greeting)]) -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let [caller, other, server] = ["caller-0", "other-0", "server-0"]
            .map(|name| network.add_pod(node.cgroup(), name, Families::V4));
        let (caller, other, server) = (caller?, other?, server?);
        let scripts = Scripts::new();
        let mut manifests = vec![workload("caller", &[caller.ipv4()])];
        let mut services = BTreeMap::new();
        for (number, (name, greeting)) in (0..).zip(greetings) {
            let address = Ipv4Addr::new(10, 96, 0, 40 + number);
            let port = port(number);
            scripts.listen(&server, port, greeting.clone())?;
            let endpoint = Endpoint::ready(server.ipv4()).pod(server.name());
            let route = Route::grpc(name, name).rule(&Value::Null, &[(name, 1)]);
            let service = Service::new(name, &[&address.to_string()]);
            manifests.push(service.port("grpc", 80).manifest());
            manifests.push(Slice::new(name, "grpc", port, [endpoint]).manifest());
            manifests.push(route.manifest());
            services.insert(*name, SocketAddr::new(IpAddr::V4(address), 80));
        }
        node.config().put("all.yaml", &documents(manifests))?;
        let residents = vec![reside(&caller)?, reside(&other)?];
        let agent = node.start_agent(&[])?;
        await_routed(&agent, &caller, services[SCRIPTED])?;
        await_routed(&agent, &other, services[SCRIPTED])?;
        let beside = Beside::begin(&other, services[SCRIPTED], "/beside/Chat")?;
        Ok(Self {
            beside,
            caller: Caller {
                wire: Wire::start(&caller)?,
                connections: BTreeMap::new(),
            },
            scripts,
            agent,
            services,
            _residents: residents,
            _pods: vec![caller, other, server],
            _network: network,
            _node: node,
        })
    }

    /// Begins a call, with one message and its end if it is to be whole; gives its stream.
    ///
    /// # Errors
    /// If the proxy does not take it.
    pub fn begin(&mut self, service: &'static str, head: &Block, is_whole: bool) -> Result<u32> {
        let target = self.services[service];
        self.caller.begin(service, target, head, is_whole)
    }
}

/// The port of an endpoint, by the number of its Service.
#[must_use]
pub const fn port(number: u8) -> u16 {
    6_000 + number as u16
}

impl Caller {
    fn begin(
        &mut self,
        service: &'static str,
        target: SocketAddr,
        head: &Block,
        is_whole: bool,
    ) -> Result<u32> {
        if !self.connections.contains_key(service) {
            let socket = self.wire.connect(target, Dialling::default())?;
            self.wire.send(socket, &[&client_begin()])?;
            let connection = Connection {
                socket,
                stream: 0,
                heard: Heard::new(),
            };
            self.connections.insert(service, connection);
        }
        let connection = self.connections.get_mut(service).expect("just inserted");
        connection.stream = (connection.stream + 1) | 1;
        let stream = connection.stream;
        let mut bytes = headers(stream, false, head.bytes());
        if is_whole {
            bytes.extend(message(stream, true, &[1; 40]));
        }
        self.wire.send(connection.socket, &[&bytes])?;
        Ok(stream)
    }

    /// Says more to a Service.
    ///
    /// # Errors
    /// If the proxy has left.
    ///
    /// # Panics
    /// If no call has begun.
    pub fn send(&mut self, service: &str, bytes: &[u8]) -> Result {
        self.wire.send(self.connections[service].socket, &[bytes])
    }

    /// Hears what comes from a Service.
    ///
    /// # Errors
    /// If it does not come.
    ///
    /// # Panics
    /// If the proxy leaves, or no call has begun.
    pub fn hear(&mut self, service: &str, until: Until) -> Result {
        let connection = self.connections.get_mut(service).expect("it has begun");
        self.wire
            .hear(connection.socket, until, &mut connection.heard)?;
        let heard = &connection.heard;
        assert!(!heard.is_over && heard.go_away.is_none(), "{heard:?}");
        Ok(())
    }

    /// How a call has ended, which is awaited.
    ///
    /// # Errors
    /// If it does not end.
    ///
    /// # Panics
    /// As [`Caller::hear`].
    pub fn end(&mut self, service: &str, stream: u32) -> Result<Said> {
        loop {
            let said = self.connections[service].heard.on(stream);
            if said.is_ended || said.reset.is_some() {
                return Ok(said);
            }
            self.hear(service, Until::Ends(1))?;
        }
    }
}
