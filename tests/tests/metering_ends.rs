//! However a call begins and ends: it is counted once, with the status that its end means.

use mesh_tests::Result;
use mesh_tests::http2::{
    Block, code, go_away, headers, message, reset, server_begin, window_update,
};
use mesh_tests::metered::{OTHER, Side, durations, expect_both, expect_counts, rows, settled};
use mesh_tests::network::Pod;
use mesh_tests::pair::Members;
use mesh_tests::peer::monotonic_ns;
use mesh_tests::stage::{Ends, Stage, answer, begin, request, response};
use mesh_tests::wire::{Dialling, Listening};
use std::time::Duration;

#[test]
fn a_reset_completes_a_call_with_its_mapped_status() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    // The method is a label before it is reset: a reset by the client is no response.
    stage.exchange(
        &[&begin(&[request(1, "Get")])],
        &[&answer(&[response(1, 0)])],
    )?;
    let by_server = [
        (code::CANCEL, "CANCELLED"),
        (code::REFUSED_STREAM, "UNAVAILABLE"),
        (code::ENHANCE_YOUR_CALM, "RESOURCE_EXHAUSTED"),
        (code::INTERNAL_ERROR, "INTERNAL"),
    ];
    for (code, _) in by_server {
        stage.exchange(
            &[&begin(&[request(1, "Get")])],
            &[&answer(&[reset(1, code)])],
        )?;
    }
    let ends = stage.connect()?;
    stage.request(ends, &[&begin(&[request(1, "Get")])])?;
    stage.request(ends, &[&reset(1, code::CANCEL)])?;
    // The server's answer was on its way: the call is not counted again.
    stage.respond(ends, &[&answer(&[response(1, 0)])])?;
    stage.close(ends)?;
    // All of it in the first write, before the server has said anything.
    let ends = stage.connect()?;
    stage.request(
        ends,
        &[&begin(&[request(1, "Get"), reset(1, code::CANCEL)])],
    )?;
    stage.close(ends)?;
    let wanted = rows(&[
        ("Get", "OK", 1),
        ("Get", "CANCELLED", 3),
        ("Get", "UNAVAILABLE", 1),
        ("Get", "RESOURCE_EXHAUSTED", 1),
        ("Get", "INTERNAL", 1),
    ]);
    expect_both(&stage.agent, &wanted).map(drop)
}

#[test]
fn calls_that_end_with_their_connection_are_unavailable() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    let ends = stage.connect()?;
    let requests: Vec<_> = (0..5)
        .map(|number| request(2 * number + 1, "Get"))
        .collect();
    stage.request(ends, &[&begin(&requests)])?;
    // One is answered, the server says that it will not act on two, and leaves.
    let responses = [response(1, 0), go_away(5)];
    stage.respond(ends, &[&answer(&responses)])?;
    settled(&stage.agent, "four calls are open", |_, balance| {
        if balance.active == 4 {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })?;
    stage.server.abort(ends.server)?;
    stage.client.drain(ends.client)?;
    stage.client.close(ends.client)?;
    let metrics = expect_both(
        &stage.agent,
        &rows(&[("Get", "OK", 1), ("Get", "UNAVAILABLE", 4)]),
    )?;
    assert_eq!(metrics.count("mesh_rpc_active", &[]), 0);
    Ok(())
}

/// Sweeps over all open calls while one is held.
const SWEEPS: u64 = 3;

/// The decoder and the table of open calls have no clock: only a sweep could end a call for its age, and it is not told the age
/// (`an_rpc_of_an_open_connection_outlasts_a_day_of_sweeps`). So sweeps are awaited here, not minutes.
#[test]
fn trailers_that_come_after_sweeps_end_the_call_when_they_come() -> Result {
    let mut stage = Stage::new(Listening::default())?;
    let held = stage.connect()?;
    stage.request(held, &[&begin(&[request(1, "Chat")])])?;
    let begun_ns = monotonic_ns();
    let head = headers(1, false, Block::response().bytes());
    let early = answer(&[head, message(1, false, &[1; 10])]);
    stage.respond(held, &[&early])?;
    for sweeps in 1..=SWEEPS {
        // A call that its client leaves is what a sweep has to end.
        let left = stage.connect()?;
        stage.request(left, &[&begin(&[request(1, "Get")])])?;
        stage.close(left)?;
        settled(&stage.agent, "a sweep ends the other call", |_, seen| {
            if (seen.aborted, seen.active, seen.lost) == (sweeps, 1, 0) {
                return Ok(());
            }
            Err(format!("not {sweeps} aborted"))
        })?;
    }
    let waited_ns = monotonic_ns() - begun_ns;
    let trailers = headers(1, true, Block::trailers(0).bytes());
    stage.respond(held, &[&trailers])?;
    let wanted = rows(&[("Chat", "OK", 1), (OTHER, "UNAVAILABLE", SWEEPS)]);
    let metrics = expect_both(&stage.agent, &wanted)?;
    for side in [Side::Client, Side::Server] {
        let metered = durations(&metrics, side, &[("rpc_status_code", "OK")]);
        assert!(metered.sum_ns >= waited_ns, "{side:?}: {metered:?}");
    }
    let first = metrics.sum("mesh_rpc_time_to_first_response_seconds_sum", &[]);
    let waited = Duration::from_nanos(waited_ns).as_secs_f64();
    assert!(
        first < waited / 2.0,
        "the response began at once, not after {first} of {waited} s"
    );
    stage.close(held)
}

/// Connections whose first bytes come with the handshake, for each way of that.
const EARLY: u64 = 20;

#[test]
fn requests_that_come_with_the_handshake_are_counted() -> Result {
    let quick = Dialling::default();
    let slow_ack = Dialling {
        without_quick_ack: true,
        ..quick
    };
    let deferring = Listening {
        defers_accept: true,
        fast_open: false,
    };
    for (listening, dialling) in [
        (deferring, quick),
        (deferring, slow_ack),
        (Listening::default(), slow_ack),
    ] {
        speak_early(&mut Stage::new(listening)?, dialling)?;
    }
    Ok(())
}

#[test]
fn requests_in_the_syn_are_counted() -> Result {
    let listening = Listening {
        defers_accept: false,
        fast_open: true,
    };
    let dialling = Dialling {
        fast_open: true,
        ..Dialling::default()
    };
    // `tcp_fastopen` (ip-sysctl): client and server, the first connection only asking for a cookie; both without a cookie.
    for (sysctl, with_data) in [("3", EARLY - 1), ("519", EARLY)] {
        let mut stage = Stage::new(listening)?;
        for pod in [&stage.pair.client, &stage.pair.server] {
            pod.namespace()
                .enter(|| std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", sysctl))?
                .expect("root may set this");
        }
        speak_early(&mut stage, dialling)?;
        // Else nothing was shown: the server has acknowledged and accepted data of so many SYNs.
        let acknowledged = tcp_counter(&stage.pair.client, "TCPFastOpenActive")?;
        let accepted = tcp_counter(&stage.pair.server, "TCPFastOpenPassive")?;
        assert_eq!((acknowledged, accepted), (with_data, with_data), "{sysctl}");
    }
    Ok(())
}

/// Makes connections whose client speaks before the server has accepted; all that is said must be counted.
fn speak_early(stage: &mut Stage, dialling: Dialling) -> Result {
    for _ in 0..EARLY {
        let client = stage.client.connect(stage.pair.target(), dialling)?;
        let begin = begin(&[request(1, "Get"), request(3, "Put")]);
        stage.client.send(client, &[&begin])?;
        let server = stage.server.accept()?;
        let ends = Ends { client, server };
        stage.server.swallow(server, begin.len() as u64)?;
        stage.respond(ends, &[&answer(&[response(3, 3), response(1, 0)])])?;
        stage.close(ends)?;
    }
    let wanted = rows(&[("Get", "OK", EARLY), ("Put", "INVALID_ARGUMENT", EARLY)]);
    expect_both(&stage.agent, &wanted).map(drop)
}

/// A counter of a pod's kernel (`netstat -s`).
fn tcp_counter(pod: &Pod, name: &str) -> Result<u64> {
    let text = pod
        .namespace()
        .enter(|| std::fs::read_to_string("/proc/thread-self/net/netstat"))?
        .expect("everybody may read this");
    // A line of names, then one of their values.
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let mut words = || lines.next().unwrap_or_default().split_whitespace();
    let (names, values) = (words(), words());
    let value = names.zip(values).find(|(known, _)| *known == name);
    Ok(value
        .and_then(|(_, value)| value.parse().ok())
        .expect("the kernel has this counter"))
}

#[test]
fn a_server_that_speaks_before_its_client_is_understood() -> Result {
    for members in [Members::Both, Members::Client, Members::Server] {
        let mut stage = Stage::with(members, Listening::default())?;
        let ends = stage.connect()?;
        stage.respond(ends, &[&server_begin(), &window_update(0)])?;
        stage.request(ends, &[&begin(&[request(1, "Get")])])?;
        stage.respond(ends, &[&response(1, 6)])?;
        let wanted = rows(&[("Get", "ALREADY_EXISTS", 1)]);
        if members != Members::Server {
            expect_counts(&stage.agent, Side::Client, &[], &wanted)?;
        }
        if members != Members::Client {
            expect_counts(&stage.agent, Side::Server, &[], &wanted)?;
        }
        stage.close(ends)?;
    }
    Ok(())
}
