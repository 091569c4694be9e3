//! Real gRPC clients and servers talk through cluster addresses.

use mesh_tests::Result;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents, workload};
use mesh_tests::network::{Families, Network};
use mesh_tests::node::Node;
use mesh_tests::rpc::Implementation::{Grpcio, Tonic};
use std::net::SocketAddr;

/// Channels per client: one that all fall to one of two servers is one run in half a million.
const CHANNELS: u32 = 20;

/// Calls on each channel.
const CALLS: u32 = 3;

#[test]
fn grpcio_and_tonic_reach_each_other_through_cluster_ips() -> Result {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller", Families::Dual)?;
    let callees = [
        network.add_pod(node.cgroup(), "callee-0", Families::Dual)?,
        network.add_pod(node.cgroup(), "callee-1", Families::Dual)?,
    ];
    let everywhere: SocketAddr = "[::]:50051".parse().unwrap();
    let _servers = [
        Tonic.serve(&callees[0], everywhere, "tonic")?,
        Grpcio.serve(&callees[1], everywhere, "grpcio")?,
    ];
    let service = Service::new("echo", &["10.96.0.10", "fd00:96::10"]).port("grpc", 80);
    let v4 = callees
        .iter()
        .map(|pod| Endpoint::ready(pod.ipv4()).pod(pod.name()));
    let v6 = callees
        .iter()
        .map(|pod| Endpoint::ready(pod.ipv6()).pod(pod.name()));
    node.config().put(
        "echo.yaml",
        &documents([
            service.manifest(),
            Slice::new("echo", "grpc", 50_051, v4).manifest(),
            Slice::new("echo", "grpc", 50_051, v6).manifest(),
            workload("caller", &[caller.ipv4(), caller.ipv6()]),
        ]),
    )?;
    let agent = node.start_agent(&[])?;

    for client in [Tonic, Grpcio] {
        for target in ["10.96.0.10:80", "[fd00:96::10]:80"] {
            let target: SocketAddr = target.parse().unwrap();
            let calls = client.call(&caller, target, CHANNELS, CALLS)?;
            assert!(
                calls.failures.is_empty(),
                "{client:?} to {target}: {calls:?}"
            );
            assert_eq!(
                calls.answers.values().sum::<u64>(),
                u64::from(CHANNELS * CALLS)
            );
            assert_eq!(calls.answers.len(), 2, "{client:?} to {target}: {calls:?}");
            let peer = calls.peer.expect("the client has connected");
            assert_eq!(
                peer.ip().to_canonical(),
                target.ip(),
                "getpeername of {client:?}"
            );
            assert_eq!(peer.port(), target.port());
        }
    }
    let labels = [
        ("destination_service", "echo"),
        ("source_workload", "caller"),
    ];
    // Two clients, two families; Python's own socket, which asks for its peer's name, comes on top.
    let expected = u64::from(4 * CHANNELS + 2);
    agent.expect("mesh_connection_opened_total", &labels, expected)
}

#[test]
fn an_ipv6_only_pair_talks_through_a_cluster_ip() -> Result {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller", Families::V6)?;
    let callee = network.add_pod(node.cgroup(), "callee", Families::V6)?;
    let endpoint = SocketAddr::new(callee.ipv6(), 50_051);
    let _server = Tonic.serve(&callee, endpoint, "six")?;
    node.config().put(
        "echo.yaml",
        &documents([
            Service::new("echo", &["fd00:96::10"])
                .port("grpc", 80)
                .manifest(),
            Slice::new("echo", "grpc", 50_051, [Endpoint::ready(callee.ipv6())]).manifest(),
        ]),
    )?;
    let _agent = node.start_agent(&[])?;

    let target: SocketAddr = "[fd00:96::10]:80".parse().unwrap();
    for client in [Tonic, Grpcio] {
        let calls = client.call(&caller, target, 2, CALLS)?;
        assert_eq!(
            calls.answers.get("six"),
            Some(&u64::from(2 * CALLS)),
            "{client:?}: {calls:?}"
        );
        assert_eq!(calls.peer, Some(target), "{client:?}");
    }
    Ok(())
}

#[test]
fn a_headless_service_dialled_by_pod_address_shows_in_the_metrics() -> Result {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
    let callee = network.add_pod(node.cgroup(), "ledger-0", Families::V4)?;
    let endpoint = SocketAddr::new(callee.ipv4(), 50_051);
    let _server = Grpcio.serve(&callee, endpoint, "ledger")?;
    node.config().put(
        "ledger.yaml",
        &documents([
            Service::new("ledger", &[]).port("grpc", 50_051).manifest(),
            Slice::new(
                "ledger",
                "grpc",
                50_051,
                [Endpoint::ready(callee.ipv4()).pod("ledger-0")],
            )
            .manifest(),
            workload("caller", &[caller.ipv4()]),
        ]),
    )?;
    let agent = node.start_agent(&[])?;

    let calls = Tonic.call(&caller, endpoint, CHANNELS, 1)?;
    assert_eq!(
        calls.answers.get("ledger"),
        Some(&u64::from(CHANNELS)),
        "{calls:?}"
    );
    assert_eq!(
        calls.peer,
        Some(endpoint),
        "not rewritten: the peer is who was asked for"
    );
    let labels = [
        ("source_workload", "caller"),
        ("source_namespace", "shop"),
        ("destination_service", "ledger"),
        ("destination_namespace", "shop"),
        ("destination_workload", "ledger"),
        ("path", "direct"),
    ];
    agent.expect("mesh_connection_opened_total", &labels, u64::from(CHANNELS))?;
    let direct = [("reason", "direct_endpoint")];
    agent.expect("mesh_kernel_decisions_total", &direct, u64::from(CHANNELS))
}
