//! What is not the mesh's affair stays untouched, even at a cluster address.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::peer::{Client, Dial, Exchange, Mode, Server, SocketOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// `SO_MARK` of the agent's own sockets, part of the contract between kernel and agent ("mesh" in ASCII).
const AGENT_MARK: u32 = 0x6d65_7368;

/// An address that really exists (its owner answers) and is a cluster IP as well (the mesh's endpoint answers).
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 200));

/// Pods around [`ADDRESS`]. Fields end in this order: processes before pods, pods before the node.
struct Scene {
    _servers: [Server; 3],
    caller: Pod,
    _others: [Pod; 2],
    _network: Network,
    node: Node,
}

impl Scene {
    fn open() -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
        let owner = network.add_pod(node.cgroup(), "owner", Families::V4)?;
        let endpoint = network.add_pod(node.cgroup(), "endpoint", Families::V4)?;
        owner
            .namespace()
            .ip(&format!("addr add {ADDRESS}/32 dev lo\n"))?;
        caller
            .namespace()
            .ip(&format!("route add {ADDRESS}/32 via {}\n", owner.ipv4()))?;
        let mut owners = Server::start(&owner)?;
        owners.listen(address(80), Mode::Banner, "owner")?;
        owners.listen(address(81), Mode::Banner, "owner")?;
        let mut datagrams = Server::start(&owner)?;
        datagrams.listen(address(80), Mode::Datagram, "owner")?;
        let mut endpoints = Server::start(&endpoint)?;
        endpoints.listen(
            SocketAddr::new(endpoint.ipv4(), 7_000),
            Mode::Banner,
            "endpoint",
        )?;
        node.config().put(
            "echo.yaml",
            &documents([
                Service::new("echo", &[&ADDRESS.to_string()])
                    .port("grpc", 80)
                    .manifest(),
                Slice::new("echo", "grpc", 7_000, [Endpoint::ready(endpoint.ipv4())]).manifest(),
            ]),
        )?;
        Ok(Self {
            _servers: [owners, datagrams, endpoints],
            caller,
            _others: [owner, endpoint],
            _network: network,
            node,
        })
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::new(ADDRESS, port)
}

#[test]
fn only_plain_tcp_to_the_service_port_is_redirected() -> Result {
    let scene = Scene::open()?;
    let agent = scene.node.start_agent(&[])?;

    let plain = SocketOptions::default;
    let device = Some("eth0".to_owned());
    let cases = [
        ("plain TCP", 80, plain(), "endpoint"),
        (
            "v4-mapped TCP",
            80,
            SocketOptions {
                v4_mapped: true,
                ..plain()
            },
            "endpoint",
        ),
        ("another port", 81, plain(), "owner"),
        (
            "UDP",
            80,
            SocketOptions {
                udp: true,
                ..plain()
            },
            "owner",
        ),
        (
            "MPTCP",
            80,
            SocketOptions {
                mptcp: true,
                ..plain()
            },
            "owner",
        ),
        ("a device", 80, SocketOptions { device, ..plain() }, "owner"),
        (
            "the agent's mark",
            80,
            SocketOptions {
                mark: Some(AGENT_MARK),
                ..plain()
            },
            "owner",
        ),
    ];
    for (case, port, socket, expected) in cases {
        let dial = Dial::new([address(port)])
            .socket(socket)
            .exchange(Exchange::Banner);
        let report = Client::run(&scene.caller, &dial)?;
        assert_eq!(report.answers_of(expected), 1, "{case}: {report:?}");
        assert_eq!(
            report.foreign_peers, 0,
            "{case}: getpeername is what was asked for"
        );
    }

    check_counters(&agent)
}

/// Two connections through the mesh, and every other decision as often as it was due.
fn check_counters(agent: &Agent) -> Result {
    agent.expect(
        "mesh_connection_opened_total",
        &[("destination_service", "echo")],
        2,
    )?;
    // Two of `not_tcp`: UDP and MPTCP.
    for (reason, expected) in [
        ("bound_device", 1),
        ("own_socket", 1),
        ("not_service", 1),
        ("not_tcp", 2),
    ] {
        agent.expect(
            "mesh_kernel_decisions_total",
            &[("reason", reason)],
            expected,
        )?;
    }
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
