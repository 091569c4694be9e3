//! Methods as labels, over the life of a Service.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::metered::OTHER;
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::process::Process;
use mesh_tests::traced::{Call, Client, SERVICE, serve};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A Service's id rests a second after the Service has gone, and figures are a second old.
const LIMIT: Duration = Duration::from_secs(10);

/// Labels that one service may have.
const LABELS_MAX: u64 = 512;

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 11);

fn manifest(name: &str, cluster_ip: Ipv4Addr, callee: IpAddr) -> String {
    documents([
        Service::new(name, &[&cluster_ip.to_string()])
            .port("grpc", 80)
            .manifest(),
        Slice::new(name, "grpc", 50_051, [Endpoint::ready(callee)]).manifest(),
    ])
}

/// A caller, and a callee that is an endpoint of one Service after the other. Fields end in this order.
struct Scene {
    agent: Agent,
    _server: Process,
    caller: Pod,
    callee: Pod,
    _network: Network,
    node: Node,
}

impl Scene {
    /// With Service `first`. There is room for one Service, so that any other gets its id.
    fn open() -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
        let callee = network.add_pod(node.cgroup(), "callee", Families::V4)?;
        let server = serve(&callee, SocketAddr::new(callee.ipv4(), 50_051))?;
        let first = manifest("first", FIRST, callee.ipv4());
        node.config().put("echo.yaml", &first)?;
        Ok(Self {
            agent: node.start_agent(&["--service-capacity", "1"])?,
            _server: server,
            caller,
            callee,
            _network: network,
            node,
        })
    }

    fn call(&self, cluster_ip: Ipv4Addr, methods: &[&str]) -> Result {
        let mut client = Client::connect(&self.caller, SocketAddr::from((cluster_ip, 80)))?;
        for method in methods {
            client.call(&Call::new(method))?;
        }
        Ok(())
    }

    /// Awaits that so many methods are labels.
    fn expect_labels(&self, entries: u64) -> Result {
        eventually(&format!("{entries} labels"), LIMIT, || {
            let metrics = self.agent.metrics().map_err(|error| error.to_string())?;
            let seen = metrics.count("mesh_bpf_map_entries", &[("map", "METHODS")]);
            (seen == entries).then_some(()).ok_or(seen.to_string())
        })
    }

    /// Awaits that a service has so many calls of a method, as its label says.
    fn expect_calls(&self, service: &str, method: &str, calls: u64) -> Result {
        let labels = [("destination_service", service), ("rpc_method", method)];
        let count = "rpc_client_call_duration_seconds_count";
        self.agent.expect(count, &labels, calls)
    }

    /// Withdraws Service `first`, then declares `second`.
    fn replace(&self) -> Result {
        let config = self.node.config();
        self.agent
            .apply(config, |config| config.remove("echo.yaml"))?;
        self.expect_labels(0)?;
        let second = manifest("second", SECOND, self.callee.ipv4());
        self.agent
            .apply(config, |config| config.put("echo.yaml", &second))
    }
}

#[test]
fn the_methods_of_a_service_go_with_it_and_another_begins_with_none() -> Result {
    let scene = Scene::open()?;
    scene.call(FIRST, &["One", "Two", "Three"])?;
    scene.expect_labels(3)?;

    scene.replace()?;

    scene.call(SECOND, &["Two"])?;
    scene.expect_labels(1)?;
    scene.expect_calls("second", &format!("{SERVICE}/Two"), 1)
}

#[test]
fn a_service_with_the_id_of_one_that_had_all_labels_in_use_has_its_own() -> Result {
    let scene = Scene::open()?;
    let names: Vec<_> = (0..LABELS_MAX + 3)
        .map(|number| format!("Method{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    scene.call(FIRST, &names)?;
    scene.expect_labels(LABELS_MAX)?;
    scene.expect_calls("first", OTHER, 3)?;

    scene.replace()?;

    scene.call(SECOND, &names)?;
    scene.expect_labels(LABELS_MAX)?;
    scene.expect_calls("second", &format!("{SERVICE}/Method0"), 1)?;
    scene.expect_calls("second", OTHER, 3)
}
