//! Every call is counted once, under its method and its status, as its client saw it.

use mesh_tests::Result;
use mesh_tests::load::{self, Plan, Truth, Width};
use mesh_tests::manifest::{Endpoint, Service, Slice, documents, workload};
use mesh_tests::metered::{Side, counts, durations, expect_counts, expected, label_of, settled};
use mesh_tests::metrics::Metrics;
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::rpc::Implementation::{self, GrpcJs, Grpcio, Tonic};
use std::net::SocketAddr;

/// 64 calls at a time on each connection.
const WIDTH: Width = Width {
    connections: 2,
    streams: 64,
};

/// Calls per client and server, 100,000 in all. The fastest pair makes most of them.
const SHARES: [(Implementation, Implementation, usize); 6] = [
    (Tonic, Tonic, 80_000),
    (Tonic, Grpcio, 4_000),
    (Grpcio, Tonic, 5_000),
    (Grpcio, Grpcio, 2_000),
    (GrpcJs, Tonic, 7_000),
    (GrpcJs, Grpcio, 2_000),
];

fn name(implementation: Implementation) -> &'static str {
    match implementation {
        Tonic => "tonic",
        Grpcio => "grpcio",
        GrpcJs => "grpcjs",
    }
}

fn endpoint(pod: &Pod) -> SocketAddr {
    SocketAddr::new(pod.ipv4(), 50_051)
}

fn service(pod: &Pod, name: &str) -> [String; 2] {
    let endpoints = [Endpoint::ready(pod.ipv4()).pod(pod.name())];
    [
        Service::new(name, &[]).port("grpc", 50_051).manifest(),
        Slice::new(name, "grpc", 50_051, endpoints).manifest(),
    ]
}

/// No metered call took longer than it took its client: bucket by bucket, and in sum.
fn assert_no_longer(metrics: &Metrics, truth: &Truth, labels: &[(&str, &str)], what: &str) {
    for (call, client) in &truth.calls {
        let (method, status) = call.split_once(' ').expect("a method and a status");
        if status == "UNIMPLEMENTED" {
            continue;
        }
        let method = label_of(method);
        let mut all = labels.to_vec();
        all.extend([("rpc_method", &*method), ("rpc_status_code", status)]);
        let metered = durations(metrics, Side::Client, &all);
        assert!(
            metered.sum_ns <= client.sum_ns,
            "{what}: {call}: {} ns, the client says {} ns",
            metered.sum_ns,
            client.sum_ns
        );
        let below = |buckets: &[u64], bound: usize| buckets[..=bound].iter().sum::<u64>();
        for bound in 0..client.buckets.len() {
            assert!(
                below(&metered.buckets, bound) >= below(&client.buckets, bound),
                "{what}: {call}: {metered:?}, the client says {client:?}"
            );
        }
    }
}

#[test]
fn a_hundred_thousand_calls_of_three_clients_to_two_servers_are_counted_exactly() -> Result {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let mut pod = |name: String| network.add_pod(node.cgroup(), &name, Families::V4);
    let servers = [Tonic, Grpcio]
        .map(|server| pod(format!("server{}-0", name(server))).map(|pod| (server, pod)));
    let servers = servers.into_iter().collect::<Result<Vec<_>>>()?;
    let clients = [Tonic, Grpcio, GrpcJs]
        .map(|client| pod(format!("client{}-0", name(client))).map(|pod| (client, pod)));
    let clients = clients.into_iter().collect::<Result<Vec<_>>>()?;
    let mut manifests = Vec::new();
    let mut running = Vec::new();
    for (server, pod) in &servers {
        manifests.extend(service(pod, &format!("load-{}", name(*server))));
        running.push(load::serve(*server, pod, endpoint(pod))?);
    }
    for (client, pod) in &clients {
        manifests.push(workload(&format!("client{}", name(*client)), &[pod.ipv4()]));
    }
    node.config().put("load.yaml", &documents(&manifests))?;
    let agent = node.start_agent(&[])?;

    let mut total = 0;
    for (seed, (client, server, count)) in (1..).zip(SHARES) {
        let what = format!("{client:?} to {server:?}");
        let from = &clients
            .iter()
            .find(|(known, _)| *known == client)
            .unwrap()
            .1;
        let to = &servers
            .iter()
            .find(|(known, _)| *known == server)
            .unwrap()
            .1;
        let plan = Plan::mixed(seed, count);
        let truth = load::run(client, from, endpoint(to), WIDTH, &plan)?;
        assert_eq!(truth.wrong, 0, "{what}: {:?}", truth.first_wrong);
        assert_eq!(truth.counts(), plan.expected().counts(), "{what}");

        let source = format!("client{}", name(client));
        let service = format!("load-{}", name(server));
        let workload = format!("server{}", name(server));
        let labels = [
            ("source_workload", &*source),
            ("source_namespace", "shop"),
            ("destination_service", &*service),
            ("destination_namespace", "shop"),
            ("destination_workload", &*workload),
            ("rpc_system_name", "grpc"),
        ];
        let wanted = expected(&truth);
        expect_counts(&agent, Side::Server, &labels, &wanted)?;
        let metrics = expect_counts(&agent, Side::Client, &labels, &wanted)?;
        let direct = [labels.as_slice(), &[("path", "direct")]].concat();
        assert_eq!(counts(&metrics, Side::Client, &direct), wanted, "{what}");
        assert_no_longer(&metrics, &truth, &labels, &what);
        total += truth.total();
        settled(&agent, &what, |_, balance| {
            if (balance.completed, balance.active, balance.orphans) == (total, 0, 0) {
                return Ok(());
            }
            Err(format!("{total} calls were made"))
        })?;
    }
    assert_eq!(total, 100_000);
    Ok(())
}
