//! Which connections go to the proxy, and what becomes of them where it cannot have them.

use mesh_tests::Result;
use mesh_tests::backends::{Backends, FRONT, front};
use mesh_tests::bpf;
use mesh_tests::deadline::eventually;
use mesh_tests::features;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents, moved_to, workload};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::pair::{Members, Pair};
use mesh_tests::peer::{Client, Dial};
use mesh_tests::process::Process;
use mesh_tests::route::{Route, policy};
use mesh_tests::routed::{Routed, await_routed, everything, is_routed, reside};
use mesh_tests::rpc::Implementation::{self, Grpcio, Tonic};
use mesh_tests::stage::anywhere;
use mesh_tests::wire::{Listening, Wire};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Far above what anything here takes, on a machine that has a lot else to do.
const LIMIT: Duration = Duration::from_secs(120);

/// `--proxy-port` where nobody says otherwise.
const PROXY_PORT: u16 = 15_001;

/// Calls by connections of their own, all of which must be answered.
fn call(client: Implementation, pod: &Pod, target: SocketAddr, count: u32) -> Result<String> {
    let calls = client.call(pod, target, count, 1)?;
    assert!(calls.failures.is_empty(), "{calls:?}");
    let answers: Vec<_> = calls.answers.into_iter().collect();
    match &*answers {
        [(identity, answered)] if *answered == u64::from(count) => Ok(identity.clone()),
        other => panic!("{other:?} instead of {count} answers of one server"),
    }
}

#[test]
fn ipv6_connections_are_routed_and_both_ends_see_each_other() -> Result {
    let cluster_ip = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x20);
    let target = SocketAddr::new(cluster_ip.into(), 80);
    // A caller without IPv4 has loopback's all the same.
    for families in [Families::Dual, Families::V6] {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller-0", families)?;
        let server = network.add_pod(node.cgroup(), "server-0", families)?;
        let endpoint = Endpoint::ready(server.ipv6()).pod(server.name());
        let text = documents([
            Service::new("load", &[&cluster_ip.to_string()])
                .port("grpc", target.port())
                .manifest(),
            Slice::new("load", "grpc", anywhere().port(), [endpoint]).manifest(),
            workload("caller", &[caller.ipv6()]),
            everything(),
        ]);
        node.config().put("all.yaml", &text)?;
        let _resident = reside(&caller)?;
        let listen = SocketAddr::new(server.ipv6(), anywhere().port());
        let _server = features::serve(&server, listen)?;
        let agent = node.start_agent(&[])?;
        await_routed(&agent, &caller, target)?;
        for client in [Tonic, Grpcio] {
            let report = features::run(client, &caller, target)?;
            let wrong = report.wrong();
            assert!(wrong.is_empty(), "{families:?} {client:?}: {wrong:#?}");
            let seen_at = report.seen_at.map(|address| address.ip());
            assert_eq!(seen_at, Some(caller.ipv6()), "{families:?} {client:?}");
        }
        let dialled = Client::run(&caller, &Dial::new([target]))?;
        assert_eq!(dialled.foreign_peers, 0, "getpeername is the service");
        let labels = [("path", "routed"), ("source_workload", "caller")];
        agent.expect_within("rpc_client_call_duration_seconds_count", &labels, 1..)?;
        agent.terminate()?;
    }
    Ok(())
}

/// A caller of namespace `shop` and one of `till`, of a Service of `shop`. Fields end in this order.
struct Market {
    _residents: Vec<Process>,
    _backends: Backends,
    callers: BTreeMap<&'static str, Pod>,
    _network: Network,
    node: Node,
}

impl Market {
    fn open() -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let mut callers = BTreeMap::new();
        let mut residents = Vec::new();
        let (backends, mut manifests) = Backends::start(&node, &mut network)?;
        for namespace in ["shop", "till"] {
            let pod = network.add_pod(node.cgroup(), namespace, Families::V4)?;
            let caller = workload(&format!("{namespace}-caller"), &[pod.ipv4()]);
            manifests.push(moved_to(namespace, &caller));
            residents.push(reside(&pod)?);
            callers.insert(namespace, pod);
        }
        node.config().put("all.yaml", &documents(manifests))?;
        Ok(Self {
            _residents: residents,
            _backends: backends,
            callers,
            _network: network,
            node,
        })
    }

    /// Who answers the callers of `shop` and of `till`, and whether their connections are routed.
    fn answers(&self) -> Result<[(String, bool); 2]> {
        let of = |namespace| -> Result<(String, bool)> {
            let pod = &self.callers[namespace];
            let is_routed = is_routed(pod, front())?;
            Ok((call(Tonic, pod, front(), 5)?, is_routed))
        };
        Ok([of("shop")?, of("till")?])
    }
}

#[test]
fn consumer_routes_hold_for_callers_of_their_namespace_alone() -> Result {
    let market = Market::open()?;
    let agent = market.node.start_agent(&[])?;
    let to = |backend| Route::grpc("front", FRONT).rule(&Value::Null, &[(backend, 1)]);
    let producer = to("blue").manifest();
    let consumer = to("green").of_consumers("till").manifest();
    let direct = || (FRONT.to_owned(), false);
    let routed = |name: &str| (name.to_owned(), true);
    for (case, manifest, wanted) in [
        (
            "a consumer route",
            consumer.clone(),
            [direct(), routed("green")],
        ),
        (
            "both",
            documents([producer.clone(), consumer]),
            [routed("blue"), routed("green")],
        ),
        (
            "a producer route",
            producer,
            [routed("blue"), routed("blue")],
        ),
    ] {
        agent.apply(market.node.config(), |config| {
            config.put("route.yaml", &manifest)
        })?;
        if case == "a consumer route" {
            // The first route of all has the agent listen, and learn whose callers' namespaces are.
            await_routed(&agent, &market.callers["till"], front())?;
        }
        eventually(case, LIMIT, || match market.answers() {
            Ok(seen) if seen == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
    }
    agent.apply(market.node.config(), |config| config.remove("route.yaml"))?;
    assert_eq!(market.answers()?, [direct(), direct()]);
    agent.terminate()
}

#[test]
fn where_the_proxy_s_port_is_taken_it_has_another_one() -> Result {
    let pair = Pair::new(Members::Both)?;
    let mut squatter = Wire::start(&pair.client)?;
    for address in ["127.0.0.1", "::1"] {
        let address: IpAddr = address.parse().expect("an address");
        squatter.listen((address, PROXY_PORT).into(), Listening::default())?;
    }
    let routed = Routed::of(pair, &everything())?;
    let pair = &routed.pair;
    let _server = Tonic.serve(&pair.server, anywhere(), "server")?;
    for client in [Tonic, Grpcio] {
        assert_eq!(call(client, &pair.client, pair.target(), 5)?, "server");
    }
    assert!(is_routed(&pair.client, pair.target())?);
    let labels = [("reason", "bind_failed")];
    routed.agent.expect("mesh_bypass_total", &labels, 0)
}

/// Without a loopback address there is nothing to listen at.
#[test]
fn where_the_proxy_cannot_listen_connections_are_bypassed_until_it_can() -> Result {
    let pair = Pair::new(Members::Both)?;
    pair.client
        .namespace()
        .ip("addr del 127.0.0.1/8 dev lo\n")?;
    pair.node.config().put("route.yaml", &everything())?;
    let _resident = reside(&pair.client)?;
    let _server = Tonic.serve(&pair.server, anywhere(), "server")?;
    let agent = pair.start_agent()?;
    let labels = [("map", "UNLISTENED")];
    // The agent has tried.
    agent.expect_within("mesh_bpf_map_entries", &labels, 1..=1)?;

    assert!(!is_routed(&pair.client, pair.target())?);
    assert_eq!(call(Tonic, &pair.client, pair.target(), 5)?, "server");
    agent.expect("mesh_bypass_total", &[("reason", "bind_failed")], 6)?;
    assert!(agent.log().contains("cannot listen"), "{}", agent.log());

    pair.client
        .namespace()
        .ip("addr add 127.0.0.1/8 dev lo\n")?;
    await_routed(&agent, &pair.client, pair.target())?;
    assert_eq!(call(Tonic, &pair.client, pair.target(), 5)?, "server");
    agent.expect("mesh_bpf_map_entries", &labels, 0)?;
    agent.terminate()
}

#[test]
fn without_room_for_origins_connections_reach_their_service_all_the_same() -> Result {
    const KEY_BYTES: usize = 32;
    const VALUE_BYTES: usize = 24;
    let routed = Routed::new(&everything())?;
    let pair = &routed.pair;
    let _server = Tonic.serve(&pair.server, anywhere(), "server")?;
    let stuffed = bpf::stuff(pair.node.bpffs(), "ORIGINS", KEY_BYTES, VALUE_BYTES)?;
    assert!(stuffed >= 65_000, "{stuffed}");

    for client in [Tonic, Grpcio] {
        assert_eq!(call(client, &pair.client, pair.target(), 10)?, "server");
    }
    assert!(is_routed(&pair.client, pair.target())?);
    let labels = [("map", "ORIGINS")];
    routed
        .agent
        .expect_within("mesh_bpf_map_full_total", &labels, 20..)
}

/// Connects until a connection is not routed, or refused.
fn await_bypassed(routed: &Routed, is_bypassed: impl Fn(&Pair) -> Result<bool>) -> Result {
    eventually("a connection is bypassed", LIMIT, || {
        match is_bypassed(&routed.pair) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

fn await_routed_again(routed: &Routed) -> Result {
    let pair = &routed.pair;
    eventually("connections are routed again", LIMIT, || {
        match is_routed(&pair.client, pair.target()) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

const STALLED: [(&str, &str); 1] = [("reason", "stalled")];

/// Its listeners are still there, and the kernel goes on completing handshakes for them.
#[test]
fn an_agent_that_hangs_is_bypassed() -> Result {
    let routed = Routed::new(&everything())?;
    let pair = &routed.pair;
    let _server = Tonic.serve(&pair.server, anywhere(), "server")?;
    assert_eq!(call(Tonic, &pair.client, pair.target(), 5)?, "server");

    routed.agent.signal(Signal::STOP)?;
    let direct = |pair: &Pair| is_routed(&pair.client, pair.target()).map(|is_routed| !is_routed);
    await_bypassed(&routed, direct)?;
    let mut bypassed = 1;
    for client in [Tonic, Grpcio] {
        assert_eq!(call(client, &pair.client, pair.target(), 10)?, "server");
        bypassed += 10;
    }
    // grpcio's reports come with one more connection, which shows getpeername().
    bypassed += 1;

    routed.agent.signal(Signal::CONT)?;
    await_routed_again(&routed)?;
    // Those that came before the agent had moved again are among them.
    routed
        .agent
        .expect_within("mesh_bypass_total", &STALLED, bypassed..)?;
    assert_eq!(call(Tonic, &pair.client, pair.target(), 5)?, "server");
    Ok(())
}

#[test]
fn an_agent_that_hangs_is_refused_where_the_service_fails_closed() -> Result {
    let pair = Pair::new(Members::Both)?;
    let closed = policy("closed", "load", &json!({ "failureMode": "Closed" }));
    pair.node.config().put("policy.yaml", &closed)?;
    let routed = Routed::of(pair, &everything())?;
    let _server = Tonic.serve(&routed.pair.server, anywhere(), "server")?;

    routed.agent.signal(Signal::STOP)?;
    let refused = |pair: &Pair| -> Result<bool> {
        let report = Client::run(&pair.client, &Dial::new([pair.target()]))?;
        Ok(report.failed.contains_key("ECONNREFUSED"))
    };
    await_bypassed(&routed, refused)?;

    routed.agent.signal(Signal::CONT)?;
    await_routed_again(&routed)?;
    routed
        .agent
        .expect_within("mesh_bypass_total", &STALLED, 1..)?;
    let pair = &routed.pair;
    assert_eq!(call(Tonic, &pair.client, pair.target(), 5)?, "server");
    Ok(())
}
