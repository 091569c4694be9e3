//! Broken and hostile peers: their connections work as without a meter, and nobody else's figures suffer.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::balance::Balance;
use mesh_tests::http2::{
    Block, PREFACE, client_begin, code, flag, frame, head, headers, kind, reset,
};
use mesh_tests::load::{self, Call, Plan, SERVICE, Width};
use mesh_tests::metered::{Counts, OTHER, Side, counts, expect_counts, expected, rows, settled};
use mesh_tests::metrics::Metrics;
use mesh_tests::pair::{Members, Pair, TARGET_PORT};
use mesh_tests::rpc::Implementation::Tonic;
use mesh_tests::stage::anywhere;
use mesh_tests::wire::{Dialling, Listening, Wire};
use std::net::SocketAddr;

const WIDTH: Width = Width {
    connections: 2,
    streams: 8,
};

/// Paths of a peer that invents methods.
const INVENTED: u32 = 10_000;

/// What a peer says, by what is wrong with it.
type Broken = Vec<(&'static str, Vec<u8>)>;

/// Bytes that are no HTTP/2 from their first on.
fn foreign() -> Broken {
    let tls = [22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    vec![
        ("TLS", [&tls, [0x5a; 600].as_slice()].concat()),
        ("HTTP/1", b"GET / HTTP/1.1\r\nHost: load\r\n\r\n".to_vec()),
        (
            "a preface that breaks off",
            [&PREFACE[..20], &[0; 40]].concat(),
        ),
    ]
}

/// Bytes that say something of HTTP/2 and then break it.
fn broken() -> Broken {
    let block = |bytes: &[u8]| begun(&headers(1, false, bytes));
    // An integer of more than 32 bits (RFC 7541 section 5.1 calls that an error).
    let overflow = [0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let padding = frame(kind::DATA, flag::PADDED, 1, &[200, 1]);
    vec![
        ("garbage", [PREFACE, &[0xa5; 5_000]].concat()),
        ("an integer that overflows", block(&overflow)),
        (
            "an index that overflows",
            block(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x07]),
        ),
        ("index zero", block(&[0x80])),
        ("a block that ends in a field", block(&[0x04, 0x7f])),
        ("HEADERS of stream zero", begun(&headers(0, true, &[0x82]))),
        ("padding longer than its frame", begun(&padding)),
    ]
}

/// Bytes that are too much of something, or that only somebody who answers need mind.
fn excessive() -> Broken {
    let endless: Vec<_> = std::iter::once(frame(kind::HEADERS, 0, 1, &[0x82]))
        .chain(std::iter::repeat_n(
            frame(kind::CONTINUATION, 0, 1, &[0x82; 100]),
            1_000,
        ))
        .collect();
    let huge_head = head(0x00ff_ffff, kind::HEADERS, flag::END_HEADERS, 1);
    let long_path = Block::request_for(&format!("/{}", "a".repeat(65_535)));
    let closed = frame(kind::DATA, flag::END_STREAM, 9, &[0; 50]);
    vec![
        (
            "a frame of 2^24-1 bytes",
            begun(&[huge_head, vec![0; 70_000]].concat()),
        ),
        ("endless CONTINUATION", begun(&endless.concat())),
        (
            "a path of 64 KiB",
            begun(&headers(1, false, long_path.bytes())),
        ),
        ("DATA of a stream that is not open", begun(&closed)),
    ]
}

/// What follows the beginning of a client.
fn begun(bytes: &[u8]) -> Vec<u8> {
    [client_begin().as_slice(), bytes].concat()
}

/// Directions of clients in one of these states.
fn directions(metrics: &Metrics, states: &[&str]) -> u64 {
    states
        .iter()
        .map(|state| {
            let labels = [("state", *state), ("direction", "request")];
            metrics.count("mesh_meter_connections", &labels)
        })
        .sum()
}

/// Awaits so many directions of clients in one of these states.
fn expect_directions(agent: &Agent, what: &str, states: &[&str], count: u64) -> Result {
    let seen = |metrics: &Metrics, _: &Balance| match directions(metrics, states) {
        seen if seen == count => Ok(()),
        seen => Err(format!("{seen} directions are {states:?}, not {count}")),
    };
    settled(agent, what, seen).map(drop)
}

/// Calls of a neighbour, whose figures must be right.
fn neighbour(pair: &Pair, seed: u64) -> Result<Counts> {
    let plan = Plan::mixed(seed, 400);
    let truth = load::run(Tonic, &pair.client, neighbours_target(pair), WIDTH, &plan)?;
    assert_eq!(truth.wrong, 0, "{:?}", truth.first_wrong);
    Ok(expected(&truth))
}

fn neighbours_target(pair: &Pair) -> SocketAddr {
    SocketAddr::new(pair.target().ip(), pair.target().port())
}

/// The hostile peers' server has a pod and a service of its own; client and agent are shared with the neighbour.
struct Stage {
    client: Wire,
    server: Wire,
    _neighbour: mesh_tests::process::Process,
    agent: Agent,
    victim: SocketAddr,
    _pod: mesh_tests::network::Pod,
    pair: Pair,
}

impl Stage {
    fn new() -> Result<Self> {
        use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
        let mut pair = Pair::new(Members::Both)?;
        let neighbour = load::serve(Tonic, &pair.server, pair.endpoint())?;
        let pod = pair.network.add_pod(
            pair.node.cgroup(),
            "victim-0",
            mesh_tests::network::Families::V4,
        )?;
        let endpoint = Endpoint::ready(pod.ipv4()).pod("victim-0");
        pair.node.config().put(
            "victim.yaml",
            &documents([
                Service::new("victim", &["10.96.0.21"])
                    .port("grpc", 80)
                    .manifest(),
                Slice::new("victim", "grpc", TARGET_PORT, [endpoint]).manifest(),
            ]),
        )?;
        let client = Wire::start(&pair.client)?;
        let mut server = Wire::start(&pod)?;
        server.listen(anywhere(), Listening::default())?;
        Ok(Self {
            client,
            server,
            _neighbour: neighbour,
            agent: pair.start_agent()?,
            victim: "10.96.0.21:80".parse().expect("an address"),
            _pod: pod,
            pair,
        })
    }
}

/// States of a direction.
const ANY: [&str; 5] = ["full", "partial", "frames_only", "desync", "opaque"];

impl Stage {
    /// Connections on which these bytes are said, and then others; they stay open.
    fn say(&mut self, said: &Broken) -> Result<Vec<[usize; 2]>> {
        let mut connections = Vec::new();
        for (what, bytes) in said {
            let client = self.client.connect(self.victim, Dialling::default())?;
            let server = self.server.accept()?;
            self.client.send(client, &[bytes])?;
            let received = self.server.receive(server, bytes.len())?;
            assert!(received == *bytes, "{what}: what was sent arrives");
            // And so do bytes that follow, and the other direction.
            self.client.send_often(client, &[0x55; 1_000], 10)?;
            self.server.swallow(server, 10_000)?;
            self.server.send_often(server, &[0x33; 1_000], 10)?;
            self.client.swallow(client, 10_000)?;
            connections.push([client, server]);
        }
        Ok(connections)
    }
}

#[test]
fn a_broken_connection_works_and_degrades_and_its_neighbour_is_counted_exactly() -> Result {
    let mut stage = Stage::new()?;
    let mut wanted = neighbour(&stage.pair, 0)?;
    let groups: [(Broken, &[&str]); 3] = [
        (foreign(), &["opaque"]),
        (broken(), &["desync", "opaque", "frames_only"]),
        (excessive(), &ANY),
    ];
    for (seed, (said, states)) in (1..).zip(groups) {
        let connections = stage.say(&said)?;
        for (call, count) in neighbour(&stage.pair, seed)? {
            *wanted.entry(call).or_default() += count;
        }
        let names: Vec<_> = said.iter().map(|(what, _)| *what).collect();
        let what = names.join(", ");
        let count = connections.len() as u64;
        expect_directions(&stage.agent, &what, &ANY, count)?;
        expect_directions(&stage.agent, &what, states, count)?;
        for [client, server] in connections {
            stage.client.close(client)?;
            stage.server.drain(server)?;
            stage.server.close(server)?;
        }
        expect_directions(&stage.agent, "closed connections have no state", &ANY, 0)?;
    }
    let load = [("destination_service", "load")];
    expect_counts(&stage.agent, Side::Server, &load, &wanted)?;
    let metrics = expect_counts(&stage.agent, Side::Client, &load, &wanted)?;
    let victim = counts(&metrics, Side::Client, &[("destination_service", "victim")]);
    assert!(
        victim.keys().all(|(method, _)| method == OTHER),
        "nothing answered, so nothing has a label: {victim:?}"
    );
    Ok(())
}

/// A request for a method that nobody has, and what follows it.
fn invented(number: u32, then: &[u8]) -> Vec<u8> {
    let stream = 2 * number + 1;
    let block = Block::request_for(&format!("/{SERVICE}/Invented{number}"));
    let ends = then.is_empty();
    [headers(stream, ends, block.bytes()).as_slice(), then].concat()
}

#[test]
fn invented_methods_that_are_unimplemented_leave_room_for_real_ones() -> Result {
    let pair = Pair::new(Members::Both)?;
    let _server = load::serve(Tonic, &pair.server, pair.endpoint())?;
    let agent = pair.start_agent()?;
    let mut client = Wire::start(&pair.client)?;
    let socket = client.connect(pair.target(), Dialling::default())?;
    client.send(socket, &[&client_begin()])?;
    for first in (0..INVENTED).step_by(50) {
        let requests: Vec<_> = (first..first + 50)
            .map(|number| invented(number, &[]))
            .collect();
        client.send(socket, &[&requests.concat()])?;
        client.await_ends(socket, 50)?;
    }
    let unimplemented = rows(&[(OTHER, "UNIMPLEMENTED", INVENTED.into())]);
    expect_counts(&agent, Side::Client, &[], &unimplemented)?;
    real_methods_have_labels(&pair, &agent, unimplemented)
}

#[test]
fn invented_methods_that_are_reset_leave_room_for_real_ones() -> Result {
    let pair = Pair::new(Members::Both)?;
    let mut silent = Wire::start(&pair.server)?;
    silent.listen(anywhere(), Listening::default())?;
    let agent = pair.start_agent()?;
    let mut client = Wire::start(&pair.client)?;
    let socket = client.connect(pair.target(), Dialling::default())?;
    let accepted = silent.accept()?;
    client.send(socket, &[&client_begin()])?;
    silent.swallow(accepted, client_begin().len() as u64)?;
    for first in (0..INVENTED).step_by(50) {
        let requests: Vec<_> = (first..first + 50)
            .map(|number| invented(number, &reset(2 * number + 1, code::CANCEL)))
            .collect();
        let bytes = requests.concat();
        client.send(socket, &[&bytes])?;
        silent.swallow(accepted, bytes.len() as u64)?;
    }
    let cancelled = rows(&[(OTHER, "CANCELLED", INVENTED.into())]);
    expect_counts(&agent, Side::Client, &[], &cancelled)?;
    drop(silent);
    let _server = load::serve(Tonic, &pair.server, pair.endpoint())?;
    real_methods_have_labels(&pair, &agent, cancelled)
}

/// After all that, every method that a server has gets its label.
fn real_methods_have_labels(pair: &Pair, agent: &Agent, mut wanted: Counts) -> Result {
    let calls = (0..300)
        .map(|number| Call::unary(&format!("Get{number}"), 0))
        .collect();
    let plan = Plan { calls };
    let truth = load::run(Tonic, &pair.client, pair.target(), WIDTH, &plan)?;
    assert_eq!(truth.wrong, 0, "{:?}", truth.first_wrong);
    wanted.extend(expected(&truth));
    expect_counts(agent, Side::Server, &[], &wanted)?;
    expect_counts(agent, Side::Client, &[], &wanted).map(drop)
}
