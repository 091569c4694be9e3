//! What is not the mesh's affair stays untouched, even at a cluster address.

use mesh_tests::Result;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::network::{Families, Network};
use mesh_tests::node::Node;
use mesh_tests::peer::{Client, Dial, Exchange, Mode, Server, SocketOptions};
use std::net::SocketAddr;

/// `SO_MARK` of the agent's own sockets, part of the contract between kernel and agent ("mesh" in ASCII).
const AGENT_MARK: u32 = 0x6d65_7368;

/// Dials one address that really exists (its owner answers) and is a cluster IP as well (the mesh's endpoint answers).
#[test]
fn only_plain_tcp_to_the_service_port_is_redirected() -> Result {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
    let owner = network.add_pod(node.cgroup(), "owner", Families::V4)?;
    let endpoint = network.add_pod(node.cgroup(), "endpoint", Families::V4)?;
    owner.namespace().ip("addr add 10.96.0.200/32 dev lo\n")?;
    caller
        .namespace()
        .ip(&format!("route add 10.96.0.200/32 via {}\n", owner.ipv4()))?;
    let service: SocketAddr = "10.96.0.200:80".parse().unwrap();
    let other_port: SocketAddr = "10.96.0.200:81".parse().unwrap();

    let mut owner_server = Server::start(&owner)?;
    owner_server.listen(service, Mode::Banner, "owner")?;
    owner_server.listen(other_port, Mode::Banner, "owner")?;
    let mut datagram_server = Server::start(&owner)?;
    datagram_server.listen(service, Mode::Datagram, "owner")?;
    let mut endpoint_server = Server::start(&endpoint)?;
    endpoint_server.listen(
        SocketAddr::new(endpoint.ipv4(), 7_000),
        Mode::Banner,
        "endpoint",
    )?;
    node.config().put(
        "echo.yaml",
        &documents([
            Service::new("echo", &["10.96.0.200"])
                .port("grpc", 80)
                .manifest(),
            Slice::new("echo", "grpc", 7_000, [Endpoint::ready(endpoint.ipv4())]).manifest(),
        ]),
    )?;
    let agent = node.start_agent(&[])?;

    let plain = SocketOptions::default;
    let cases = [
        ("plain TCP", service, plain(), "endpoint"),
        (
            "v4-mapped TCP",
            service,
            SocketOptions {
                v4_mapped: true,
                ..plain()
            },
            "endpoint",
        ),
        ("another port", other_port, plain(), "owner"),
        (
            "UDP",
            service,
            SocketOptions {
                udp: true,
                ..plain()
            },
            "owner",
        ),
        (
            "MPTCP",
            service,
            SocketOptions {
                mptcp: true,
                ..plain()
            },
            "owner",
        ),
        (
            "a device",
            service,
            SocketOptions {
                device: Some("eth0".into()),
                ..plain()
            },
            "owner",
        ),
        (
            "the agent's mark",
            service,
            SocketOptions {
                mark: Some(AGENT_MARK),
                ..plain()
            },
            "owner",
        ),
    ];
    for (case, target, socket, expected) in cases {
        let dial = Dial::new([target])
            .socket(socket)
            .exchange(Exchange::Banner);
        let report = Client::run(&caller, &dial)?;
        assert_eq!(report.answers_of(expected), 1, "{case}: {report:?}");
        assert_eq!(
            report.foreign_peers, 0,
            "{case}: getpeername is what was asked for"
        );
    }

    let metrics = agent.metrics()?;
    let of_echo = [("destination_service", "echo")];
    assert_eq!(metrics.count("mesh_connection_opened_total", &of_echo), 2);
    for reason in ["bound_device", "own_socket", "not_service"] {
        let count = metrics.count("mesh_kernel_decisions_total", &[("reason", reason)]);
        assert_eq!(count, 1, "{reason}");
    }
    // UDP and MPTCP.
    assert_eq!(
        metrics.count("mesh_kernel_decisions_total", &[("reason", "not_tcp")]),
        2
    );
    Ok(())
}

#[test]
fn a_process_outside_the_cgroup_is_untouched() -> Result {
    let node = Node::new("node-a")?;
    let outside = mesh_tests::cgroup::Cgroup::new()?;
    let mut network = Network::new()?;
    let stranger = network.add_pod(&outside, "stranger", Families::V4)?;
    let endpoint = network.add_pod(node.cgroup(), "endpoint", Families::V4)?;
    node.config().put(
        "echo.yaml",
        &documents([
            Service::new("echo", &["10.96.0.10"])
                .port("grpc", 80)
                .manifest(),
            Slice::new("echo", "grpc", 7_000, [Endpoint::ready(endpoint.ipv4())]).manifest(),
        ]),
    )?;
    let _agent = node.start_agent(&[])?;
    let report = Client::run(&stranger, &Dial::new(["10.96.0.10:80".parse().unwrap()]))?;
    assert_eq!(report.failed.get("ENETUNREACH"), Some(&1), "{report:?}");
    Ok(())
}
