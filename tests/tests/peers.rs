//! Referees that are not ours: `h2spec`, and gRPC's own interoperability tests. Run by `cargo xtask test --peers`.

use mesh_tests::pair::TARGET_PORT;
use mesh_tests::process::Process;
use mesh_tests::route::Route;
use mesh_tests::routed::Routed;
use mesh_tests::stage::anywhere;
use mesh_tests::{Result, binary};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// How long a program may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long a program may be silent: h2spec waits two seconds for what must not come.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// How long nothing is said: as `grpc-go`'s server has it by default, it takes a PING every five minutes and none that is
/// sent while no call is open, and says GOAWAY to who sends a third one too many.
const SILENCE: Duration = Duration::from_secs(610);

/// The cases that need no TLS and no account.
const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

/// Runs `h2spec` against a page behind the proxy; gives what it says.
fn h2spec(arguments: &[&str]) -> Result<String> {
    let route = Route::http("page", "load").rule(&Value::Null, &[("load", 1)]);
    let routed = Routed::new(&route.manifest())?;
    let mut command = Command::new(binary::peer("mesh-rpc")?);
    command.args(["page", &anywhere().to_string()]);
    let server = routed.pair.server.spawn(command)?;
    server.line(START_LIMIT)?;
    let target = routed.pair.target();
    let mut command = Command::new(binary::go_program("h2spec")?);
    command
        .args(["--host", &target.ip().to_string()])
        .args(["--port", &target.port().to_string()])
        .args(arguments);
    let tests = routed.pair.client.spawn(command)?;
    let report = tests.rest(SILENCE_LIMIT)?.join("\n");
    // The page was asked for by the proxy: bytes that are relayed are no connection of its pool.
    let name = "mesh_upstream_connection_opened_total";
    routed.agent.expect_within(name, &[], 1..)?;
    Ok(report)
}

fn assert_clean(report: &str) {
    let summary = report.lines().rfind(|line| line.contains("tests, "));
    let summary = summary.unwrap_or_else(|| panic!("no summary:\n{report}"));
    assert!(
        summary.ends_with(" 0 skipped, 0 failed") && !summary.starts_with("0 tests"),
        "{report}"
    );
}

#[test]
fn h2spec_finds_nothing_in_the_proxy() -> Result {
    assert_clean(&h2spec(&[])?);
    Ok(())
}

#[test]
fn strict_h2spec_finds_nothing_in_the_proxy() -> Result {
    assert_clean(&h2spec(&["--strict"])?);
    Ok(())
}

/// A routed pair of pods, and gRPC's own server as grpc-go has it by default. Fields end in this order.
struct Interop {
    _server: Process,
    routed: Routed,
}

fn interop() -> Result<Interop> {
    let route = Route::grpc("interop", "load").rule(&Value::Null, &[("load", 1)]);
    let routed = Routed::new(&route.manifest())?;
    let mut command = Command::new(binary::go_program("server")?);
    command.args(["--port", &TARGET_PORT.to_string()]);
    let server = routed.pair.server.spawn(command)?;
    routed.pair.server.await_listening(routed.pair.endpoint())?;
    Ok(Interop {
        _server: server,
        routed,
    })
}

#[test]
fn all_of_grpc_s_interoperability_cases_pass_through_the_proxy() -> Result {
    let Interop { routed, .. } = &interop()?;
    let mut failed = Vec::new();
    for case in CASES {
        let mut client = interop_client(routed, case)?;
        let status = client.wait(SILENCE_LIMIT)?;
        if !status.success() {
            failed.push(case);
        }
    }
    assert!(failed.is_empty(), "{failed:?}; they say why above");
    let name = "rpc_client_call_duration_seconds_count";
    let labels = [("path", "routed")];
    routed.agent.expect_within(name, &labels, 1..)
}

#[test]
fn an_idle_connection_and_a_silent_stream_survive_ten_minutes() -> Result {
    let seconds = SILENCE.as_secs().to_string();
    let silent = |case: &str| -> Result<(Process, Interop)> {
        let interop = interop()?;
        let pair = &interop.routed.pair;
        let mut command = Command::new(binary::peer("mesh-rpc")?);
        command.args(["silence", case, &pair.target().to_string(), &seconds]);
        Ok((pair.client.spawn(command)?, interop))
    };
    // One beside the other, each with a connection to a server of its own.
    let mut scenes = [(silent("connection")?, 2), (silent("stream")?, 1)];
    for ((client, Interop { routed, .. }), calls) in &mut scenes {
        let status = client.wait(SILENCE + SILENCE_LIMIT)?;
        assert!(status.success(), "{status}; it says why above");
        let ok = [("path", "routed"), ("rpc_status_code", "OK")];
        let name = "rpc_client_call_duration_seconds_count";
        routed.agent.expect(name, &ok, *calls)?;
        let name = "mesh_upstream_connection_opened_total";
        routed.agent.expect(name, &[], 1)?;
    }
    Ok(())
}

fn interop_client(routed: &Routed, case: &str) -> Result<Process> {
    let target = routed.pair.target();
    let mut command = Command::new(binary::go_program("client")?);
    command.args([
        format!("--server_host={}", target.ip()),
        format!("--server_port={}", target.port()),
        format!("--test_case={case}"),
    ]);
    routed.pair.client.spawn(command)
}
