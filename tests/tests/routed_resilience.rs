//! What the proxy makes of servers that fail: retries and their budget, ejection, fallback, circuit breaking; and limits and
//! faults that are put on callers.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::deadline::eventually;
use mesh_tests::load::Truth;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::stage::anywhere;
use mesh_tests::witness::{Conduct, DECK, Sighting, Witness};
use mesh_tests::witnessed::{Setting, Witnessed, ask, endpoint, manifest, service};
use serde_json::{Value, json};
use std::time::Duration;

const LOAD: (&str, &str) = ("destination_service", "load");

/// Codes of gRPC.
const ABORTED: i32 = 10;
const UNAVAILABLE: i32 = 14;

/// 30 % of [`DECK`].
const THIRTY_PERCENT: u32 = 6;

fn retry(budget: &Value) -> Value {
    json!({ "retry": { "attempts": 2, "codes": ["UNAVAILABLE"], "budget": budget } })
}

/// Calls that failed, of a thousand.
#[expect(clippy::cast_precision_loss, reason = "some ten thousand calls")]
fn failed_per_mille(truth: &Truth) -> f64 {
    truth.by_status("UNAVAILABLE") as f64 * 1_000.0 / truth.total() as f64
}

/// Of n calls 0.3 n fail at first and 0.2 n are tried again, of which 0.7 succeed: 0.16 n fail in the end. With as many retries as
/// it takes, 0.3³ n do. How many there are a second does not matter, as long as the budget has no rate of its own.
///
/// That takes no more than some thousand calls, because a try's failure is no chance here ([`DECK`]).
#[test]
fn a_budget_of_a_fifth_leaves_16_percent_of_failures_and_a_large_one_2_7_percent() -> Result {
    let fifth = json!({ "percent": 20, "minRetryRate": { "count": 0, "interval": "1s" } });
    let mut scene = Setting::new(1, retry(&fifth)).open()?;
    scene.servers[0].behave(Conduct::failing(THIRTY_PERCENT))?;
    let truth = scene.call(3_000, 64)?;
    let failed = failed_per_mille(&truth);
    assert!((150.0..=170.0).contains(&failed), "{failed} ‰");
    let (retries, originals) = tries(&scene.servers[0].seen()?);
    assert_eq!(originals, 3_000);
    assert!((590..=600).contains(&retries), "{retries}");
    let denied = [LOAD, ("result", "budget")];
    scene
        .agent
        .expect_within("mesh_retries_total", &denied, 1..)?;

    let large = json!({ "percent": 100, "minRetryRate": { "count": 1_000_000, "interval": "1s" } });
    scene.apply_policy(&retry(&large))?;
    let truth = scene.call(3_000, 64)?;
    let failed = failed_per_mille(&truth);
    assert!((22.0..=32.0).contains(&failed), "{failed} ‰");
    let (retries, _) = tries(&scene.servers[0].seen()?);
    assert!(
        (1_150..=1_190).contains(&retries),
        "0.39 of 3,000: {retries}"
    );
    Ok(())
}

/// The server is slow enough for the calls to take longer than the budget's interval.
#[test]
fn servers_that_always_fail_get_a_fifth_more_tries_than_there_are_calls() -> Result {
    const CALLS: usize = 2_400;
    let mut scene = Setting::new(1, retry(&json!({ "percent": 20 }))).open()?;
    scene.servers[0].behave(Conduct::failing(DECK).after(40))?;
    let truth = scene.call(CALLS, 8)?;
    assert_eq!(truth.by_status("UNAVAILABLE"), CALLS as u64);
    let seen = scene.servers[0].seen()?;

    let (retries, originals) = tries(&seen);
    assert_eq!(originals, CALLS);
    // So that the bound is not kept by trying nothing again.
    assert!(retries >= CALLS * 19 / 100, "{retries}");
    let mut is_whole = false;
    for (first, sighting) in seen.iter().enumerate() {
        let end_us = sighting.at_us + 10_000_000;
        let window = &seen[first..];
        let length = window.partition_point(|sighting| sighting.at_us < end_us);
        let (retries, originals) = tries(&window[..length]);
        // Ten a second on top.
        assert!(retries * 5 <= originals + 500, "{retries} of {originals}");
        is_whole |= length < window.len();
    }
    assert!(is_whole, "the calls took no ten seconds");
    Ok(())
}

fn tries(seen: &[Sighting]) -> (usize, usize) {
    let retries = seen.iter().filter(|sighting| sighting.previous > 0).count();
    (retries, seen.len() - retries)
}

#[test]
fn a_dead_endpoint_is_ejected_and_comes_back_by_a_probe() -> Result {
    let sections = json!({
        "loadBalancing": { "algorithm": "RoundRobin" },
        "outlierDetection": {
            "consecutiveFailures": 2, "baseEjectionTime": "5s", "maxEjectionPercent": 50,
        },
    });
    let mut scene = Setting::new(3, sections).open()?;
    let mut asker = scene.asker(0)?;
    // Dies with what it has: its address refuses connections from now on.
    drop(scene.servers.remove(0));
    for _ in 0..12 {
        let answer = ask(&mut asker, &[])?;
        assert_eq!(answer.status, 0, "others answer: {answer:?}");
    }
    scene.agent.expect("mesh_ejections_total", &[LOAD], 1)?;
    assert_eq!(scene.state(0)?, "ejected");
    assert_eq!(scene.state(1)?, "in use");
    let explained = scene
        .agent
        .command(&["explain", "--to", "shop/load:80", "--from", "shop"])?;
    assert!(explained.contains("ejected"), "{explained}");

    let revived = Witness::start(&scene.pods[0], anywhere())?;
    scene.servers.insert(0, revived);
    // Its time has to pass, which grows with each probe that fails.
    eventually("the probe", Duration::from_secs(60), || {
        let asked = ask(&mut asker, &[]).map_err(|error| error.to_string())?;
        assert_eq!(asked.status, 0, "{asked:?}");
        match scene.state(0) {
            Ok(state) if state == "in use" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    let probes = scene.servers[0].seen()?;
    assert_eq!(probes.len(), 1, "one call was sent to see");
    scene.seen()?;
    for _ in 0..30 {
        assert_eq!(ask(&mut asker, &[])?.status, 0);
    }
    assert_eq!(scene.shares()?, [10; 3]);
    scene.agent.expect("mesh_ejections_total", &[LOAD], 1)
}

#[test]
fn the_last_endpoint_is_never_ejected() -> Result {
    let sections = json!({
        "loadBalancing": { "algorithm": "RoundRobin" },
        "outlierDetection": {
            "consecutiveFailures": 3, "baseEjectionTime": "1h", "maxEjectionTime": "2h",
            "maxEjectionPercent": 100,
        },
    });
    let mut scene = Setting::new(2, sections).open()?;
    let mut asker = scene.asker(0)?;
    let mut statuses = |count: usize| -> Result<Vec<i32>> {
        (0..count)
            .map(|_| ask(&mut asker, &[]).map(|answer| answer.status))
            .collect()
    };
    scene.servers[0].behave(Conduct::failing(DECK))?;
    let failed = |statuses: &[i32]| statuses.iter().filter(|status| **status != 0).count();
    assert_eq!(failed(&statuses(40)?), 3);
    assert_eq!(scene.shares()?, [3, 37]);
    assert_eq!(scene.state(0)?, "ejected");

    scene.servers[1].behave(Conduct::failing(DECK))?;
    assert_eq!(statuses(20)?, [UNAVAILABLE; 20]);
    assert_eq!(scene.shares()?, [0, 20]);
    assert_eq!(scene.state(1)?, "in use");
    scene.agent.expect("mesh_ejections_total", &[LOAD], 1)
}

/// The address that a Service `cache` has, whose only endpoint is the second server.
const CACHE_IP: &str = "10.96.0.30";

fn cache(scene: &Witnessed) -> String {
    let endpoint = endpoint(&scene.pods[1]);
    let slice = Slice::new("cache", "grpc", anywhere().port(), [endpoint]);
    documents([
        Service::new("cache", &[CACHE_IP])
            .port("grpc", 80)
            .manifest(),
        slice.manifest(),
    ])
}

#[test]
fn a_fallback_answers_when_no_endpoint_is_ready_and_when_every_connect_fails() -> Result {
    let fallback = json!({ "fallback": { "backendRef": { "name": "cache", "port": 80 } } });
    let mut scene = Setting::new(2, fallback).open()?;
    scene.apply("cache.yaml", &cache(&scene))?;
    scene.apply_endpoints([0])?;
    let mut asker = scene.asker(0)?;
    assert_eq!(ask(&mut asker, &[])?.identity, "server-0");

    let unready = Endpoint::not_ready(scene.pods[0].ipv4()).pod("server-0");
    scene.apply("load.yaml", &manifest(&service(), [unready]))?;
    for _ in 0..5 {
        assert_eq!(ask(&mut asker, &[])?.identity, "server-1");
    }
    scene.agent.expect("mesh_fallback_total", &[LOAD], 5)?;

    scene.apply_endpoints([0])?;
    drop(scene.servers.remove(0));
    for _ in 0..5 {
        assert_eq!(ask(&mut asker, &[])?.identity, "server-1");
    }
    scene.agent.expect("mesh_fallback_total", &[LOAD], 10)?;

    let said = json!({ "fallback": { "status": "FAILED_PRECONDITION", "message": "closed" } });
    scene.apply_policy(&said)?;
    let answer = ask(&mut asker, &[])?;
    assert_eq!((answer.status, answer.message.as_str()), (9, "closed"));
    assert_eq!(answer.header("mesh-error"), Some("fallback"));
    scene.agent.expect("mesh_fallback_total", &[LOAD], 11)
}

/// Each treatment with the metric that tells of it; the last was there before.
#[test]
fn circuits_open_rates_are_limited_and_faults_are_made_each_with_its_metric() -> Result {
    let sections = json!({ "circuitBreaker": { "maxRequests": 1 } });
    let mut scene = Setting::new(1, sections).open()?;
    a_circuit_opens(&mut scene)?;

    let limit = json!({ "rateLimit": { "requestsPerSecond": 1, "burst": 5 } });
    scene.apply_policy(&limit)?;
    let truth = scene.call(200, 8)?;
    let limited = truth.by_status("RESOURCE_EXHAUSTED");
    assert_eq!(truth.by_status("OK") + limited, 200);
    assert!(truth.by_status("OK") >= 5);
    assert!(limited > 0);
    assert_eq!(scene.shares()?, [truth.by_status("OK")]);
    expect_replies(
        &scene.agent,
        "mesh_rate_limited_total",
        "rate_limited",
        limited,
    )?;

    let abort = json!({ "fault": { "abort": { "percent": 100, "status": "ABORTED" } } });
    scene.apply_policy(&abort)?;
    let mut asker = scene.asker(0)?;
    for _ in 0..5 {
        let answer = ask(&mut asker, &[])?;
        assert_eq!(answer.status, ABORTED);
        assert_eq!(answer.header("mesh-error"), Some("fault"));
    }
    assert_eq!(scene.shares()?, [0]);
    let aborts = [LOAD, ("kind", "abort")];
    scene.agent.expect("mesh_faults_total", &aborts, 5)?;

    let delay = json!({ "fault": { "delay": { "percent": 100, "duration": "150ms" } } });
    scene.apply_policy(&delay)?;
    let truth = scene.call(20, 4)?;
    assert_eq!(truth.by_status("OK"), 20);
    let took_ns: u64 = truth.calls.values().map(|outcome| outcome.sum_ns).sum();
    assert!(took_ns >= 20 * 150_000_000, "{took_ns}");
    let delays = [LOAD, ("kind", "delay")];
    scene.agent.expect("mesh_faults_total", &delays, 20)
}

/// All streams begin at once, and the first call takes longer than that.
fn a_circuit_opens(scene: &mut Witnessed) -> Result {
    scene.servers[0].behave(Conduct::slow(100))?;
    let truth = scene.call(40, 8)?;
    scene.servers[0].behave(Conduct::default())?;
    let refused = truth.by_status("UNAVAILABLE");
    assert!(refused >= 7, "{truth:?}");
    assert_eq!(truth.by_status("OK") + refused, 40);
    expect_replies(
        &scene.agent,
        "mesh_circuit_open_total",
        "circuit_open",
        refused,
    )
}

fn expect_replies(agent: &Agent, metric: &str, reason: &str, count: u64) -> Result {
    agent.expect(metric, &[LOAD], count)?;
    let labels = [LOAD, ("reason", reason)];
    agent.expect("mesh_local_replies_total", &labels, count)
}
