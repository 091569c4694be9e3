//! `mesh_connection_*` equals the truth, which the test knows.

use mesh_tests::Result;
use mesh_tests::agent::{Agent, FRESH_LIMIT};
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::metrics::Metrics;
use mesh_tests::peer::{
    Client, Dial, Ending, Exchange, Mode, ORDER_LEN, Server, ServerEnding, SocketOptions,
};
use mesh_tests::scene::{CLUSTER_IP, PORT, Scene};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the agent may take to notice a pod: it looks around once a second.
const LEARN_LIMIT: Duration = Duration::from_secs(5);

const TARGET: SocketAddr = SocketAddr::new(CLUSTER_IP, PORT);

const FLOW: [(&str, &str); 4] = [
    ("source_workload", "caller"),
    ("source_namespace", "shop"),
    ("destination_service", "inventory"),
    ("destination_namespace", "shop"),
];

/// What the exposition says of one flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ledger {
    opened: u64,
    active: u64,
    closed: Vec<(String, u64)>,
    failed: Vec<(String, u64)>,
    sent: u64,
    received: u64,
}

impl Ledger {
    fn read(metrics: &Metrics, flow: &[(&str, &str)]) -> Self {
        Self {
            opened: metrics.count("mesh_connection_opened_total", flow),
            active: metrics.count("mesh_connections_active", flow),
            closed: by_label(metrics, "mesh_connection_closed_total", flow, "reason"),
            failed: by_label(metrics, "mesh_connection_failed_total", flow, "errno"),
            sent: metrics.count("mesh_connection_sent_bytes_total", flow),
            received: metrics.count("mesh_connection_received_bytes_total", flow),
        }
    }
}

/// Counts that are not zero, by the value of a label.
fn by_label(
    metrics: &Metrics,
    name: &str,
    flow: &[(&str, &str)],
    label: &str,
) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for sample in metrics.find(name, flow) {
        let value = sample.labels.get(label).cloned().unwrap_or_default();
        let mut all = flow.to_vec();
        all.push((label, &value));
        let count = metrics.count(name, &all);
        if count > 0 {
            counts.insert(value.clone(), count);
        }
    }
    counts.into_iter().collect()
}

/// Awaits that the exposition says `expected` of a flow.
fn expect(agent: &Agent, case: &str, flow: &[(&str, &str)], expected: &Ledger) -> Result {
    eventually(&format!("{case}: {expected:?}"), FRESH_LIMIT, || {
        let metrics = agent.metrics().map_err(|error| error.to_string())?;
        let seen = Ledger::read(&metrics, flow);
        if seen == *expected {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
}

fn closed(reason: &str, count: u64) -> Vec<(String, u64)> {
    vec![(reason.to_owned(), count)]
}

/// What happens, who ends it on either side, bytes left unread, and what it is counted as.
const ENDINGS: [(&str, ServerEnding, Ending, u64, &str); 6] = [
    (
        "client closes first",
        ServerEnding::Wait,
        Ending::Close,
        0,
        "fin",
    ),
    (
        "half close",
        ServerEnding::Wait,
        Ending::HalfClose,
        0,
        "fin",
    ),
    (
        "server closes first",
        ServerEnding::Close,
        Ending::AwaitServer,
        0,
        "fin",
    ),
    (
        "server resets",
        ServerEnding::Reset,
        Ending::AwaitServer,
        0,
        "reset",
    ),
    (
        "client resets",
        ServerEnding::Wait,
        Ending::Reset,
        0,
        "aborted",
    ),
    (
        "client leaves a byte unread",
        ServerEnding::Wait,
        Ending::Close,
        1,
        "aborted",
    ),
];

/// Bytes up and down.
const SIZES: [(u64, u64); 4] = [(0, 1), (1, 1), (1_000, 100_000), (3 << 20, 5 << 20)];

/// Every way to end a connection, each with sizes from one byte to some MiB, in a mesh of its own.
#[test]
fn bytes_and_close_reasons_are_exact_for_every_ending() -> Result {
    let scene = Scene::with_mode(Mode::Command)?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    let mut expected = Ledger::default();
    let mut reasons = std::collections::BTreeMap::<String, u64>::new();
    for (case, server_ending, ending, unread, reason) in ENDINGS {
        for (upload, download) in SIZES {
            let exchange = Exchange::Order {
                upload,
                download,
                unread,
                ending: server_ending,
            };
            let dial = Dial::new([TARGET])
                .count(3)
                .exchange(exchange)
                .ending(ending);
            let report = Client::run(&scene.caller, &dial)?;
            assert_eq!(report.connected, 3, "{case}: {report:?}");
            expected.opened += 3;
            expected.sent += 3 * (ORDER_LEN as u64 + upload);
            expected.received += 3 * download;
            *reasons.entry(reason.to_owned()).or_default() += 3;
            expected.closed = reasons.clone().into_iter().collect();
            expect(
                &agent,
                &format!("{case}, {upload} up, {download} down"),
                &FLOW,
                &expected,
            )?;
        }
    }
    Ok(())
}

#[test]
fn bytes_move_while_connections_are_open_and_are_exact_within_a_second() -> Result {
    let scene = Scene::with_mode(Mode::Echo)?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    let agent = scene.node.start_agent(&[])?;
    let dial = |bytes| {
        Dial::new([TARGET])
            .count(4)
            .exchange(Exchange::Echo { bytes })
    };

    let small = Client::start(&scene.caller, &dial(1).hold())?;
    small.report()?;
    let mut expected = Ledger {
        opened: 4,
        active: 4,
        sent: 4,
        received: 4,
        ..Ledger::default()
    };
    expect(&agent, "one byte each way, open", &FLOW, &expected)?;

    let large = Client::start(&scene.caller, &dial(2_000_000).hold())?;
    large.report()?;
    expected.opened = 8;
    expected.active = 8;
    expected.sent += 8_000_000;
    expected.received += 8_000_000;
    expect(&agent, "two megabytes each way, open", &FLOW, &expected)?;

    small.finish()?;
    expected.active = 4;
    expected.closed = closed("fin", 4);
    expect(&agent, "half of them closed", &FLOW, &expected)?;
    large.finish()?;
    expected.active = 0;
    expected.closed = closed("fin", 8);
    expect(&agent, "all closed", &FLOW, &expected)
}

#[test]
fn counters_never_go_back_while_connections_come_and_go() -> Result {
    let scene = Scene::with_mode(Mode::Echo)?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    let agent = scene.node.start_agent(&[])?;
    let mut dial = Dial::new([TARGET])
        .count(1_000_000)
        .exchange(Exchange::Echo { bytes: 50_000 });
    dial.until_told = true;
    let client = Client::start(&scene.caller, &dial.ending(Ending::Reset))?;

    let mut last = Metrics::default();
    let mut moved = 0;
    let end = std::time::Instant::now() + Duration::from_secs(6);
    while std::time::Instant::now() < end {
        let now = agent.metrics()?;
        for sample in last
            .samples()
            .iter()
            .filter(|sample| sample.name.ends_with("_total"))
        {
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            let value = now.sum(&sample.name, &labels);
            assert!(value >= sample.value, "{sample:?} went back to {value}");
            moved += u32::from(value > sample.value);
        }
        last = now;
    }
    assert!(moved > 0, "nothing moved");
    client.finish().map(drop)
}

/// One kind of failure, with what the client sees and what the metrics call it.
struct Failure {
    endpoint: Option<SocketAddr>,
    socket: SocketOptions,
    seen: &'static str,
    counted: &'static str,
}

fn failures(scene: &Scene) -> Result<[Failure; 5]> {
    // The callee does not forward, so what is routed to it for another address vanishes: a black hole.
    let hole = SocketAddr::from(([10, 245, 0, 1], 7_000));
    let other_hole = SocketAddr::from(([10, 245, 0, 2], 7_000));
    let gateway = scene.callees[0].ipv4();
    scene
        .caller
        .namespace()
        .ip(&format!("route add 10.245.0.0/16 via {gateway}\n"))?;
    let refusing = SocketAddr::new(gateway, 9);
    let nowhere = SocketAddr::from(([192, 0, 2, 1], 7_000));
    let plain = SocketOptions::default;
    let impatient = SocketOptions {
        cancel_after_ms: Some(50),
        ..plain()
    };
    let timed = SocketOptions {
        user_timeout_ms: Some(200),
        ..plain()
    };
    let failure = |endpoint, socket, seen, counted| Failure {
        endpoint,
        socket,
        seen,
        counted,
    };
    Ok([
        failure(Some(refusing), plain(), "ECONNREFUSED", "ECONNREFUSED"),
        failure(Some(hole), timed, "ETIMEDOUT", "ETIMEDOUT"),
        failure(Some(other_hole), impatient, "CANCELLED", "CANCELLED"),
        failure(Some(nowhere), plain(), "ENETUNREACH", "LOCAL"),
        failure(None, plain(), "EHOSTUNREACH", "EHOSTUNREACH"),
    ])
}

#[test]
fn failures_are_counted_by_errno() -> Result {
    let scene = Scene::open()?;
    let failures = failures(&scene)?;
    scene.configure(&scene.service(), [])?;
    let agent = scene.node.start_agent(&[])?;
    // As in every real pod something lives in the caller's: the agent finds namespaces by their processes. A connect
    // that fails before it has an address can be told by its namespace alone.
    let _pause = Server::start(&scene.caller)?;
    eventually("the caller's namespace is known", LEARN_LIMIT, || {
        let metrics = agent.metrics().map_err(|error| error.to_string())?;
        let known = metrics.count("mesh_bpf_map_entries", &[("map", "NETNS_SOURCES")]);
        if known > 0 {
            Ok(())
        } else {
            Err(known.to_string())
        }
    })?;

    let mut expected = std::collections::BTreeMap::<String, u64>::new();
    for Failure {
        endpoint,
        socket,
        seen,
        counted,
    } in failures
    {
        agent.apply(scene.node.config(), |config| {
            let port = endpoint.map_or(7_000, |address| address.port());
            let ready = endpoint.map(|address| Endpoint::ready(address.ip()));
            let slice = Slice::new("inventory", "grpc", port, ready).named("inventory-one");
            config.put(
                "inventory.yaml",
                &documents([scene.service().manifest(), slice.manifest()]),
            )
        })?;
        let report = Client::run(&scene.caller, &Dial::new([TARGET]).count(5).socket(socket))?;
        assert_eq!(report.failed.get(seen), Some(&5), "{report:?}");
        *expected.entry(counted.to_owned()).or_default() += 5;
        let ledger = Ledger {
            failed: expected.clone().into_iter().collect(),
            ..Ledger::default()
        };
        expect(&agent, counted, &FLOW, &ledger)?;
    }
    Ok(())
}

#[test]
fn retransmissions_of_a_failed_attempt_are_counted() -> Result {
    let scene = Scene::open()?;
    let gateway = scene.callees[0].ipv4();
    scene
        .caller
        .namespace()
        .ip(&format!("route add 10.245.0.0/16 via {gateway}\n"))?;
    scene.configure(
        &scene.service(),
        [Endpoint::ready("10.245.0.1".parse().unwrap())],
    )?;
    let agent = scene.node.start_agent(&[])?;
    // The SYN is sent again after one second, and given up at the next timer, two seconds later.
    let socket = SocketOptions {
        user_timeout_ms: Some(1_500),
        ..SocketOptions::default()
    };
    let report = Client::run(&scene.caller, &Dial::new([TARGET]).socket(socket))?;
    assert_eq!(report.failed.get("ETIMEDOUT"), Some(&1), "{report:?}");
    eventually("one retransmission counted", FRESH_LIMIT, || {
        let metrics = agent.metrics().map_err(|error| error.to_string())?;
        match metrics.count("mesh_connection_retransmits_total", &FLOW) {
            1.. => Ok(()),
            count => Err(count.to_string()),
        }
    })
}

#[test]
fn histograms_hold_one_connect_time_per_connection_and_its_round_trips() -> Result {
    let scene = Scene::with_mode(Mode::Echo)?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    let dial = Dial::new([TARGET])
        .count(50)
        .exchange(Exchange::Echo { bytes: 1_000 });
    Client::run(&scene.caller, &dial)?;
    let mut opened = Ledger {
        opened: 50,
        closed: closed("fin", 50),
        ..Ledger::default()
    };
    opened.sent = 50_000;
    opened.received = 50_000;
    expect(&agent, "fifty connections", &FLOW, &opened)?;

    let metrics = agent.metrics()?;
    assert_eq!(
        metrics.count("mesh_connect_duration_seconds_count", &FLOW),
        50
    );
    let total = metrics.sum("mesh_connect_duration_seconds_sum", &FLOW);
    assert!(total > 0.0 && total < 50.0, "{total} s for fifty connects");
    let mut infinite = FLOW.to_vec();
    infinite.push(("le", "+Inf"));
    assert_eq!(
        metrics.count("mesh_connect_duration_seconds_bucket", &infinite),
        50
    );
    assert!(metrics.count("mesh_connection_rtt_seconds_count", &FLOW) >= 50);
    Ok(())
}

#[test]
fn a_process_of_the_host_is_named_by_its_command() -> Result {
    let scene = Scene::open()?;
    let mut server = Server::start_in(scene.node.cgroup(), None)?;
    let listen: SocketAddr = mesh_tests::node::admin_address();
    server.listen(listen, Mode::Banner, "host")?;
    // On the host a cluster address lies in loopback: were it not rewritten, nothing would leave the machine.
    let cluster_ip = "127.96.0.10";
    scene.node.config().put(
        "ledger.yaml",
        &documents([
            Service::new("ledger", &[cluster_ip])
                .port("grpc", PORT)
                .manifest(),
            Slice::new(
                "ledger",
                "grpc",
                listen.port(),
                [Endpoint::ready(listen.ip())],
            )
            .manifest(),
        ]),
    )?;
    let agent = scene.node.start_agent(&[])?;
    let target = SocketAddr::new(cluster_ip.parse().unwrap(), PORT);
    let dial = Dial::new([target]).count(7).exchange(Exchange::Banner);
    let report = Client::start_in(scene.node.cgroup(), None, &dial)?.report()?;
    assert_eq!(report.answers_of("host"), 7, "{report:?}");
    let flow = [
        ("source_workload", "mesh-peer"),
        ("source_namespace", ""),
        ("destination_service", "ledger"),
    ];
    agent.expect("mesh_connection_opened_total", &flow, 7)
}

#[test]
fn open_connections_are_listed_with_both_their_ends() -> Result {
    let scene = Scene::with_mode(Mode::Echo)?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    let dial = Dial::new([TARGET])
        .count(3)
        .exchange(Exchange::Echo { bytes: 10_000 });
    let client = Client::start(&scene.caller, &dial.hold())?;
    let local = client.report()?.first_local.expect("three connected");

    let list = eventually("three connections listed", FRESH_LIMIT, || {
        let list = agent
            .api("connections")
            .map_err(|error| error.to_string())?;
        if list["total"] == 3 {
            Ok(list)
        } else {
            Err(list.to_string())
        }
    })?;
    let rows = list["connections"].as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["local"] == local.to_string());
    let row = row.unwrap_or_else(|| panic!("{local} in {list}"));
    let endpoint = SocketAddr::new(scene.callees[0].ipv4(), mesh_tests::scene::TARGET_PORT);
    for (field, expected) in [
        ("source", "shop/caller".to_owned()),
        ("requested", TARGET.to_string()),
        ("endpoint", endpoint.to_string()),
        ("service", "shop/inventory".to_owned()),
        ("workload", "shop/inventory".to_owned()),
        ("state", "established".to_owned()),
    ] {
        assert_eq!(row[field], expected, "{field} of {row}");
    }
    assert_eq!(row["sent_bytes"], 10_000, "{row}");
    let table = agent.command(&["connections"])?;
    assert!(table.contains(&endpoint.to_string()), "{table}");
    client.finish().map(drop)
}
