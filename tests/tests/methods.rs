//! Methods as labels, over the life of a Service.

use mesh_tests::Result;
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::network::{Families, Network};
use mesh_tests::node::Node;
use mesh_tests::traced::{Call, Client, SERVICE, serve};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A Service's id rests a second after the Service has gone, and figures are a second old.
const LIMIT: Duration = Duration::from_secs(10);

fn manifest(name: &str, cluster_ip: &str, callee: IpAddr) -> String {
    documents([
        Service::new(name, &[cluster_ip])
            .port("grpc", 80)
            .manifest(),
        Slice::new(name, "grpc", 50_051, [Endpoint::ready(callee)]).manifest(),
    ])
}

#[test]
fn the_methods_of_a_service_go_with_it_and_another_begins_with_none() -> Result {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
    let callee = network.add_pod(node.cgroup(), "callee", Families::V4)?;
    let _server = serve(&callee, SocketAddr::new(callee.ipv4(), 50_051))?;
    let first = manifest("first", "10.96.0.10", callee.ipv4());
    node.config().put("echo.yaml", &first)?;
    let agent = node.start_agent(&[])?;
    let labels = |entries: u64| {
        eventually(&format!("{entries} labels"), LIMIT, || {
            let metrics = agent.metrics().map_err(|error| error.to_string())?;
            let seen = metrics.count("mesh_bpf_map_entries", &[("map", "METHODS")]);
            (seen == entries).then_some(()).ok_or(seen.to_string())
        })
    };
    let mut client = Client::connect(&caller, SocketAddr::from(([10, 96, 0, 10], 80)))?;
    for method in ["One", "Two", "Three"] {
        client.call(&Call::new(method))?;
    }
    labels(3)?;
    drop(client);

    agent.apply(node.config(), |config| config.remove("echo.yaml"))?;
    labels(0)?;

    let second = manifest("second", "10.96.0.11", callee.ipv4());
    agent.apply(node.config(), |config| config.put("echo.yaml", &second))?;
    let mut client = Client::connect(&caller, SocketAddr::from(([10, 96, 0, 11], 80)))?;
    client.call(&Call::new("Two"))?;
    labels(1)?;
    let method = format!("{SERVICE}/Two");
    let labels = [("destination_service", "second"), ("rpc_method", &*method)];
    agent.expect("rpc_client_call_duration_seconds_count", &labels, 1)
}
