//! The tests' own ground, without a mesh: pods reach each other and nothing else.

use mesh_tests::Result;
use mesh_tests::cgroup::Cgroup;
use mesh_tests::network::{Families, Network};
use mesh_tests::peer::{Client, Dial, Ending, Exchange, Mode, Server, ServerEnding, SocketOptions};
use mesh_tests::rpc::Implementation;
use std::net::SocketAddr;

#[test]
fn pods_talk_over_both_families_and_have_no_way_out() -> Result {
    let root = Cgroup::new()?;
    let mut network = Network::new()?;
    let caller = network.add_pod(&root, "caller", Families::Dual)?;
    let callee = network.add_pod(&root, "callee", Families::Dual)?;
    let mut server = Server::start(&callee)?;
    let v4 = SocketAddr::new(callee.ipv4(), 7_000);
    let v6 = SocketAddr::new(callee.ipv6(), 7_000);
    server.listen(v4, Mode::Banner, "four")?;
    server.listen(v6, Mode::Flash, "six")?;

    let report = Client::run(
        &caller,
        &Dial::new([v4, v6]).count(10).exchange(Exchange::Banner),
    )?;
    assert_eq!(
        (report.answers_of("four"), report.answers_of("six")),
        (5, 5),
        "{report:?}"
    );

    let mapped = SocketOptions {
        v4_mapped: true,
        ..SocketOptions::default()
    };
    let report = Client::run(
        &caller,
        &Dial::new([v4]).socket(mapped).exchange(Exchange::Banner),
    )?;
    assert_eq!(report.foreign_peers, 0, "{report:?}");

    let outside = "192.0.2.1:80".parse().unwrap();
    let report = Client::run(&caller, &Dial::new([outside]))?;
    assert_eq!(report.failed["ENETUNREACH"], 1, "{report:?}");
    Ok(())
}

#[test]
fn a_server_counts_and_ends_connections_as_told() -> Result {
    let root = Cgroup::new()?;
    let mut network = Network::new()?;
    let caller = network.add_pod(&root, "caller", Families::V4)?;
    let callee = network.add_pod(&root, "callee", Families::V4)?;
    let mut server = Server::start(&callee)?;
    let address = SocketAddr::new(callee.ipv4(), 7_000);
    server.listen(address, Mode::Command, "x")?;

    let order = |ending| Exchange::Order {
        upload: 10,
        download: 100_000,
        unread: 0,
        ending,
    };
    let close = Dial::new([address])
        .exchange(order(ServerEnding::Close))
        .ending(Ending::AwaitServer);
    assert_eq!(Client::run(&caller, &close)?.received_bytes, 100_000);
    let reset = Dial::new([address])
        .exchange(order(ServerEnding::Reset))
        .ending(Ending::AwaitServer);
    let report = Client::run(&caller, &reset)?;
    assert_eq!(report.broken.len(), 1, "{report:?}");

    let held = Client::start(
        &caller,
        &Dial::new([address])
            .exchange(order(ServerEnding::Wait))
            .hold(),
    )?;
    assert_eq!(held.report()?.sent_bytes, 34);
    assert_eq!(held.finish()?.connected, 1);

    let counts = server.counts()?[&address];
    assert_eq!(
        (counts.accepted, counts.received_bytes, counts.sent_bytes),
        (3, 102, 300_000)
    );
    server.close(address)?;
    let report = Client::run(&caller, &Dial::new([address]))?;
    assert_eq!(report.failed["ECONNREFUSED"], 1, "{report:?}");
    Ok(())
}

#[test]
fn grpc_peers_of_both_kinds_understand_each_other() -> Result {
    let root = Cgroup::new()?;
    let mut network = Network::new()?;
    let caller = network.add_pod(&root, "caller", Families::Dual)?;
    let callee = network.add_pod(&root, "callee", Families::Dual)?;
    let everywhere: SocketAddr = "[::]:50051".parse().unwrap();
    for server in [Implementation::Tonic, Implementation::Grpcio] {
        let _server = server.serve(&callee, everywhere, "callee")?;
        for client in [Implementation::Tonic, Implementation::Grpcio] {
            let calls = client.call(&caller, SocketAddr::new(callee.ipv4(), 50_051), 2, 3)?;
            assert_eq!(
                calls.answers.get("callee"),
                Some(&6),
                "{client:?} to {server:?}: {calls:?}"
            );
        }
    }
    Ok(())
}
