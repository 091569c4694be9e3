//! Unmodified gRPC clients through the routed path: what gRPC promises is kept, and every call is counted once.

use mesh_tests::Result;
use mesh_tests::ask::{Asker, Question};
use mesh_tests::deadline::eventually;
use mesh_tests::features::{self, CALLS, SERVICE};
use mesh_tests::load::{self, Plan, Truth, Width};
use mesh_tests::metered::{Counts, Side, counts, expect_counts, expected, settled};
use mesh_tests::pair::{Members, Pair};
use mesh_tests::route::{Route, policy};
use mesh_tests::routed::{Routed, everything};
use mesh_tests::rpc::Implementation::{self, GrpcJs, Grpcio, Tonic};
use mesh_tests::stage::anywhere;
use serde_json::{Value, json};
use std::time::Duration;

const ROUTED: [(&str, &str); 1] = [("path", "routed")];
const DIRECT: [(&str, &str); 1] = [("path", "direct")];

/// 16 calls at a time on each connection.
const WIDTH: Width = Width {
    connections: 4,
    streams: 16,
};

/// How long a change may take to be in force.
const APPLY_LIMIT: Duration = Duration::from_secs(5);

/// Of gRPC.
const UNIMPLEMENTED: i32 = 12;

fn label(method: &str) -> String {
    format!("{SERVICE}/{method}")
}

#[test]
fn a_tonic_client_finds_every_feature_of_grpc_behind_the_proxy() -> Result {
    every_feature(Tonic)
}

#[test]
fn a_grpcio_client_finds_every_feature_of_grpc_behind_the_proxy() -> Result {
    every_feature(Grpcio)
}

#[test]
fn a_grpc_js_client_finds_every_feature_of_grpc_behind_the_proxy() -> Result {
    every_feature(GrpcJs)
}

/// Unary and streaming calls, metadata, headers before any message, deadlines, cancellation, 4 MiB, compression, 1,000
/// streams on a connection; then who was seen, and what was counted.
fn every_feature(client: Implementation) -> Result {
    let routed = Routed::new(&everything())?;
    let pair = &routed.pair;
    let _server = features::serve(&pair.server, anywhere())?;
    let report = features::run(client, &pair.client, pair.target())?;
    assert!(
        report.wrong().is_empty(),
        "{client:?}: {:#?}",
        report.wrong()
    );
    let seen_at = report.seen_at.map(|address| address.ip());
    assert_eq!(seen_at, Some(pair.client.ipv4()), "the server's peer");

    let by_method = |counts: &Counts| {
        let mut sums = std::collections::BTreeMap::<_, u64>::new();
        for ((method, _), count) in counts {
            *sums.entry(method.clone()).or_default() += count;
        }
        sums
    };
    let wanted: Counts = CALLS
        .iter()
        .map(|&(method, status, count)| ((label(method), status.to_owned()), count))
        .collect();
    settled(&routed.agent, "every call is counted", |metrics, _| {
        let mut seen = counts(metrics, Side::Client, &ROUTED);
        // Whether the caller's reset or the expiry of its deadline comes first is chance.
        let late = (label("Hold"), "DEADLINE_EXCEEDED".to_owned());
        if !seen.contains_key(&late) {
            let cancelled = (label("Hold"), "CANCELLED".to_owned());
            seen.entry(cancelled).and_modify(|count| *count -= 1);
            seen.insert(late, 1);
        }
        let at_server = by_method(&counts(metrics, Side::Server, &[]));
        let is_right = seen == wanted
            && at_server == by_method(&wanted)
            && counts(metrics, Side::Client, &DIRECT).is_empty();
        if is_right {
            return Ok(());
        }
        Err(format!("{seen:?}; at the server {at_server:?}"))
    })?;
    Ok(())
}

#[test]
fn getpeername_of_a_routed_connection_is_the_service_address() -> Result {
    for client in [Tonic, Grpcio] {
        let routed = Routed::new(&everything())?;
        let pair = &routed.pair;
        let _server = Tonic.serve(&pair.server, anywhere(), "server")?;
        let calls = client.call(&pair.client, pair.target(), 2, 3)?;
        assert_eq!(calls.answers.get("server"), Some(&6), "{calls:?}");
        let peer = calls.peer.expect("the client has connected");
        assert_eq!(peer.ip().to_canonical(), pair.target().ip(), "{client:?}");
        assert_eq!(peer.port(), pair.target().port());
    }
    Ok(())
}

#[test]
fn mixed_calls_of_three_clients_are_counted_once_at_each_end() -> Result {
    let routed = Routed::new(&everything())?;
    let pair = &routed.pair;
    let _server = load::serve(Tonic, &pair.server, anywhere())?;
    let mut all = Truth::default();
    for (seed, client) in (0..).zip([Tonic, Grpcio, GrpcJs]) {
        let plan = Plan::mixed(seed, 2_000);
        let truth = load::run(client, &pair.client, pair.target(), WIDTH, &plan)?;
        assert_eq!(truth.wrong, 0, "{client:?}: {:?}", truth.first_wrong);
        all.merge(&truth);
    }
    let wanted = expected(&all);
    expect_counts(&routed.agent, Side::Client, &ROUTED, &wanted)?;
    let metrics = expect_counts(&routed.agent, Side::Server, &[], &wanted)?;
    assert!(counts(&metrics, Side::Client, &DIRECT).is_empty());
    Ok(())
}

/// One call in ten needs a second attempt.
#[test]
fn a_retried_call_is_one_call_for_its_client_and_two_for_the_servers() -> Result {
    let pair = Pair::new(Members::Both)?;
    let retry = json!({ "retry": {
        "attempts": 2,
        "codes": ["UNAVAILABLE"],
        "backoff": { "base": "1ms", "max": "2ms" },
        "budget": { "percent": 100, "minRetryRate": { "count": 1_000, "interval": "1s" } },
    } });
    let manifest = policy("retries", "load", &retry);
    pair.node.config().put("policy.yaml", &manifest)?;
    let routed = Routed::of(pair, &everything())?;
    let pair = &routed.pair;
    let _server = features::serve(&pair.server, anywhere())?;
    let mut asker = Asker::start(&pair.client, pair.target())?;
    for number in 0..1_000 {
        let method = if number % 10 == 0 {
            "FailFirst"
        } else {
            "Echo"
        };
        let answer = asker.ask(&Question::new(&format!("/{SERVICE}/{method}"), &[]))?;
        assert_eq!(answer.status, 0, "{method}: {answer:?}");
    }
    let calls = |failed: u64| -> Counts {
        [
            ("Echo", "OK", 900),
            ("FailFirst", "OK", 100),
            ("FailFirst", "UNAVAILABLE", failed),
        ]
        .into_iter()
        .filter(|&(_, _, count)| count > 0)
        .map(|(method, status, count)| ((label(method), status.to_owned()), count))
        .collect()
    };
    expect_counts(&routed.agent, Side::Client, &ROUTED, &calls(0))?;
    expect_counts(&routed.agent, Side::Server, &[], &calls(100))?;
    let success = [("result", "success")];
    routed.agent.expect("mesh_retries_total", &success, 100)
}

#[test]
fn a_route_edits_the_headers_that_both_sides_see() -> Result {
    let filters = json!({ "filters": [
        { "type": "RequestHeaderModifier", "requestHeaderModifier": {
            "set": [{ "name": "x-text", "value": "set by the route" }],
        } },
        { "type": "ResponseHeaderModifier", "responseHeaderModifier": {
            "add": [{ "name": "x-added", "value": "by the route" }],
        } },
    ] });
    let route = Route::grpc("edits", "load").rule_with(&Value::Null, &[("load", 1)], filters);
    let routed = Routed::new(&route.manifest())?;
    let pair = &routed.pair;
    let _server = features::serve(&pair.server, anywhere())?;
    let mut asker = Asker::start(&pair.client, pair.target())?;
    let question = Question::new(&format!("/{SERVICE}/Echo"), &[("x-text", "the caller's")]);
    let answer = asker.ask(&question)?;
    assert_eq!(answer.header("x-text"), Some("set by the route"));
    assert_eq!(answer.header("x-added"), Some("by the route"));
    Ok(())
}

#[test]
fn a_changed_route_holds_for_the_next_request_of_an_open_connection() -> Result {
    let routed = Routed::new(&everything())?;
    let pair = &routed.pair;
    let _server = features::serve(&pair.server, anywhere())?;
    let mut asker = Asker::start(&pair.client, pair.target())?;
    let question = Question::new(&format!("/{SERVICE}/Echo"), &[]);
    assert_eq!(asker.ask(&question)?.status, 0);

    let narrow = json!([{ "method": { "service": SERVICE, "method": "Count" } }]);
    let route = Route::grpc("everything", "load").rule(&narrow, &[("load", 1)]);
    let config = pair.node.config();
    config.put("route.yaml", &route.manifest())?;
    let refused = eventually("the changed route", APPLY_LIMIT, || {
        match asker.ask(&question) {
            Ok(answer) if answer.status != 0 => Ok(answer),
            other => Err(format!("{other:?}")),
        }
    })?;
    assert_eq!(refused.status, UNIMPLEMENTED, "{refused:?}");
    assert!(refused.header("mesh-error").is_some(), "{refused:?}");
    config.put("route.yaml", &everything())?;
    eventually("the route as it was", APPLY_LIMIT, || {
        match asker.ask(&question) {
            Ok(answer) if answer.status == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}
