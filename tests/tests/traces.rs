//! Single RPCs of the direct path: spans at a collector, lines of `tap`, rows of `top`.

use mesh_tests::collector::{Collector, Received};
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents, workload};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::process::Process;
use mesh_tests::traced::{Answer, Call, Client, SERVICE, serve};
use mesh_tests::{Error, Result, binary};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// Codes of gRPC.
const NOT_FOUND: i32 = 5;
const UNAVAILABLE: i32 = 14;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A `traceparent` of one of the caller's spans, as a client library makes one for each call.
fn parent(span: &str, flags: &str) -> String {
    format!("00-{TRACE}-{span}-{flags}")
}

/// A method that only serves to see whether a tap is in force.
const WARM: &str = "Warm";

/// How long a line of `tap` may be on its way.
const LIMIT: Duration = Duration::from_secs(10);

/// A caller, a callee, and a Service in front of it. Fields end in this order.
struct Scene {
    _server: Process,
    caller: Pod,
    _callee: Pod,
    _network: Network,
    node: Node,
}

impl Scene {
    fn open() -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
        let callee = network.add_pod(node.cgroup(), "callee-0", Families::V4)?;
        let server = serve(&callee, SocketAddr::new(callee.ipv4(), 50_051))?;
        let endpoint = Endpoint::ready(callee.ipv4()).pod("callee-0");
        node.config().put(
            "echo.yaml",
            &documents([
                Service::new("echo", &["10.96.0.10"])
                    .port("grpc", 80)
                    .manifest(),
                Slice::new("echo", "grpc", 50_051, [endpoint]).manifest(),
                workload("caller", &[caller.ipv4()]),
            ]),
        )?;
        Ok(Self {
            _server: server,
            caller,
            _callee: callee,
            _network: network,
            node,
        })
    }

    fn client(&self) -> Result<Client> {
        Client::connect(&self.caller, SocketAddr::from(([10, 96, 0, 10], 80)))
    }
}

#[test]
fn a_collector_gets_spans_of_what_the_caller_traces_of_failures_and_of_what_was_slow() -> Result {
    let scene = Scene::open()?;
    let collector = Collector::start()?;
    let url = collector.url();
    let choice = ["--trace-ratio", "0", "--trace-slow", "1s"];
    let agent = scene
        .node
        .start_agent(&[&["--otlp", &url][..], &choice].concat())?;
    let mut client = scene.client()?;
    let untraced = [
        Call::new("Plain"),
        Call::new("Plain").trace_parent(&parent("00f067aa0ba902b7", "00")),
    ];
    for call in &untraced {
        assert_eq!(client.call(call)?.status, 0);
    }
    let calls = [
        Call::new("Traced").trace_parent(&parent("00f067aa0ba902b8", "01")),
        Call::new("Failing")
            .status(NOT_FOUND)
            .trace_parent(&parent("00f067aa0ba902b9", "00")),
        Call::new("Slow").delay_ms(1_200),
    ];
    let mut answers = Vec::new();
    for call in &calls {
        answers.push(client.call(call)?);
    }

    let spans = collector.expect(2 * calls.len())?;
    assert_eq!(spans.len(), 2 * calls.len(), "{spans:?}");
    for ((call, answer), pair) in calls.iter().zip(&answers).zip(spans.chunks(2)) {
        check_pair(call, answer, pair);
    }
    assert_eq!(answers[1].status, NOT_FOUND);
    assert!(
        spans[4].duration() >= Duration::from_millis(1_200),
        "{spans:?}"
    );
    agent.expect("mesh_events_lost_total", &[], 0)
}

#[test]
fn a_call_that_ends_with_its_connection_gives_spans_and_a_line_of_tap() -> Result {
    let scene = Scene::open()?;
    let collector = Collector::start()?;
    let url = collector.url();
    let agent = scene.node.start_agent(&[
        "--otlp",
        &url,
        "--trace-ratio",
        "0",
        "--trace-failed",
        "false",
    ])?;
    let mut client = scene.client()?;
    let tap = Tap::start(&scene, agent.admin(), &["--status", "UNAVAILABLE"])?;
    tap.await_first(&mut client, &Call::new(WARM).status(UNAVAILABLE))?;
    client.call(&Call::new("Held"))?;
    let parent = parent("00f067aa0ba902b7", "01");
    let held = Call::new("Held").delay_ms(60_000).trace_parent(&parent);
    client.begin(&held)?;
    agent.expect("mesh_rpc_active", &[("destination_service", "echo")], 1)?;

    drop(client);

    let spans = collector.expect(2)?;
    for received in &spans {
        assert_eq!(received.span.name, held.name());
        assert_eq!(received.attributes["rpc.status_code"], "UNAVAILABLE");
        assert_eq!(hex(&received.span.trace_id), TRACE);
    }
    let line = tap.next()?;
    assert_eq!(line["method"], held.name(), "{line}");
    assert_eq!(line["trace_id"], TRACE, "{line}");
    Ok(())
}

/// The spans of one call: the client's, and below it the server's.
fn check_pair(call: &Call, answer: &Answer, pair: &[Received]) {
    let [client, server] = pair else {
        panic!("two spans for each call: {pair:?}");
    };
    let code = if answer.status == NOT_FOUND {
        "NOT_FOUND"
    } else {
        "OK"
    };
    for (received, workload) in [(client, "caller"), (server, "callee")] {
        assert_eq!(received.span.name, call.name());
        assert_eq!(received.resource["service.name"], workload);
        for (key, value) in [
            ("rpc.system.name", "grpc"),
            ("rpc.method", &*call.name()),
            ("rpc.status_code", code),
            ("mesh.source.workload", "caller"),
            ("mesh.destination.service", "echo"),
            ("mesh.destination.workload", "callee"),
        ] {
            assert_eq!(
                received.attributes.get(key).map(|s| &**s),
                Some(value),
                "{key}"
            );
        }
        assert!(
            received.duration().as_secs_f64() <= answer.seconds,
            "{received:?}"
        );
    }
    assert_eq!(
        (client.span.kind, server.span.kind),
        (3, 2),
        "client and server"
    );
    assert_eq!(server.span.parent_span_id, client.span.span_id);
    assert_eq!(server.span.trace_id, client.span.trace_id);
    if let Some(parent) = &call.trace_parent {
        let (trace, span) = (&client.span.trace_id, &client.span.parent_span_id);
        assert_eq!(parent[3..52], format!("{}-{}", hex(trace), hex(span)));
    } else {
        assert_eq!(client.span.trace_id.len(), 16);
        assert!(client.span.parent_span_id.is_empty());
    }
    let begin = Duration::from_nanos(client.span.start_time_unix_nano).as_secs_f64();
    let end = answer.started_seconds + answer.seconds;
    // Two clocks are compared, of which one is read to the microsecond.
    assert!(
        answer.started_seconds - 0.001 <= begin && begin <= end,
        "{client:?} {answer:?}"
    );
}

#[test]
fn tap_shows_the_calls_that_were_made() -> Result {
    let scene = Scene::open()?;
    let agent = scene.node.start_agent(&[])?;
    let mut client = scene.client()?;
    let all = Tap::start(&scene, agent.admin(), &[])?;
    all.await_first(&mut client, &Call::new(WARM))?;
    let filters = ["--service", "shop/echo", "--status", "FAILED"];
    let failed = Tap::start(&scene, agent.admin(), &filters)?;
    failed.await_first(&mut client, &Call::new(WARM).status(NOT_FOUND))?;

    let calls = [
        Call::new("Reserve").trace_parent(&parent("00f067aa0ba902b7", "00")),
        // The same again: HPACK sends a reference.
        Call::new("Reserve").trace_parent(&parent("00f067aa0ba902b7", "00")),
        Call::new("Failing").status(NOT_FOUND),
        Call::new("Failing"),
        Call::new("Last").status(NOT_FOUND),
    ];
    for call in &calls {
        let answer = client.call(call)?;
        let line = all.next()?;
        assert_eq!(line["method"], call.name(), "{line}");
        assert_eq!(line["source"], "shop/caller");
        assert_eq!(line["service"], "shop/echo");
        assert_eq!(line["workload"], "shop/callee");
        let status = if call.status == 0 { "OK" } else { "NOT_FOUND" };
        assert_eq!(line["status"], status, "{line}");
        // A message of four bytes, in a frame of gRPC's own of five.
        assert_eq!(line["request_bytes"], 9, "{line}");
        let answered = if call.status == 0 { 9 } else { 0 };
        assert_eq!(line["response_bytes"], answered, "{line}");
        let latency = line["latency_seconds"].as_f64().unwrap_or(f64::MAX);
        assert!(
            latency > 0.0 && latency <= answer.seconds,
            "{line} {answer:?}"
        );
        let trace = call.trace_parent.as_ref().map(|_| TRACE);
        assert_eq!(line["trace_id"].as_str(), trace, "{line}");
    }
    for call in [&calls[2], &calls[4]] {
        assert_eq!(failed.next()?["method"], call.name());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A running `tap -o json`.
struct Tap(Process);

impl Tap {
    fn start(scene: &Scene, admin: SocketAddr, filters: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary::agent()?);
        command.args(["tap", "-o", "json", "--admin", &admin.to_string()]);
        command.args(filters);
        Ok(Self(Process::spawn(command, scene.node.cgroup(), None)?))
    }

    /// Makes calls until one is shown: from then on all are.
    fn await_first(&self, client: &mut Client, call: &Call) -> Result {
        eventually("a line of tap", LIMIT, || {
            client.call(call).map_err(|error| error.to_string())?;
            let line = self.0.line(Duration::from_millis(50));
            line.map_err(|error| error.to_string())
        })?;
        Ok(())
    }

    /// The next line that is not about the calls before.
    fn next(&self) -> Result<Value> {
        loop {
            let text = self.0.line(LIMIT)?;
            let line: Value = serde_json::from_str(&text).map_err(|error| Error::Unreadable {
                from: "mesh-agent tap".to_owned(),
                answer: format!("{error}: {text}"),
            })?;
            if line["method"] != format!("{SERVICE}/{WARM}") {
                return Ok(line);
            }
        }
    }
}

#[test]
fn top_shows_a_call_that_is_under_way() -> Result {
    let scene = Scene::open()?;
    let agent = scene.node.start_agent(&[])?;
    let mut client = scene.client()?;
    // A method has a label from its first answer on.
    client.call(&Call::new("Slow"))?;
    client.begin(&Call::new("Slow").delay_ms(60_000))?;
    agent.expect("mesh_rpc_active", &[("destination_service", "echo")], 1)?;

    let rows = agent.command(&["top", "--once", "-o", "json"])?;
    let rows: Value = serde_json::from_str(&rows).expect("top prints JSON");
    let open: Vec<_> = rows
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["active"] == 1)
        .collect();
    assert_eq!(open.len(), 1, "{rows}");
    assert_eq!(open[0]["service"], "shop/echo");
    assert_eq!(open[0]["method"], format!("{SERVICE}/Slow"));
    assert_eq!(open[0]["side"], "client");
    let table = agent.command(&["top", "--once"])?;
    assert!(table.contains(&format!("{SERVICE}/Slow")), "{table}");
    Ok(())
}
