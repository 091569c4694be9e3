//! Outcomes as the proxy makes them, and the series that they become.

use super::methods::METHODS_MAX;
use super::{Calls, SERIES_MAX, SERVICES_MAX, ServiceSeries, UpstreamSeries};
use crate::observe::{
    AttemptOutcome, CallOutcome, CallSpan, DestinationLabels, Exemplar, LocalReply, OpenCalls,
    Replaced, RpcLabels, SessionCalls, TraceParent,
};
use http::uri::PathAndQuery;
use mesh_common::meter::StatusCode;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

const RESERVE: &str = "/shop.Inventory/Reserve";

fn service(name: &str) -> Arc<DestinationLabels> {
    Arc::new(DestinationLabels {
        service: name.into(),
        namespace: "shop".into(),
        workload: "".into(),
    })
}

fn attempt(name: &str, status: StatusCode) -> AttemptOutcome {
    AttemptOutcome::answered(service(name), status)
}

fn call(path: &'static str, status: StatusCode) -> CallOutcome {
    CallOutcome::answered(PathAndQuery::from_static(path), status, Instant::now())
}

fn call_of(path: &str, status: StatusCode) -> CallOutcome {
    CallOutcome::answered(path.parse().unwrap(), status, Instant::now())
}

/// A call that the mesh has answered without a try.
fn replied(reason: LocalReply) -> CallOutcome {
    CallOutcome {
        local_reply: Some(reason),
        attempts: vec![],
        ..call(RESERVE, StatusCode::Unavailable)
    }
}

fn counted(calls: &Calls) -> Vec<(String, StatusCode, u64)> {
    let figures = calls.figures(&[], &[]);
    let series = figures.calls.iter().map(|series| {
        let count = series.duration.buckets.iter().sum();
        (series.labels.method.to_string(), series.status, count)
    });
    series.collect()
}

fn only_service(outcomes: &[CallOutcome]) -> ServiceSeries {
    let mut calls = Calls::default();
    for outcome in outcomes {
        calls.add(outcome, UNIX_EPOCH);
    }
    let [series] = calls.figures(&[], &[]).services.try_into().unwrap();
    series
}

#[test]
fn a_method_is_a_label_from_the_first_answer_other_than_unimplemented() {
    let mut calls = Calls::default();
    let lost = CallOutcome {
        attempts: vec![AttemptOutcome {
            is_answered: false,
            ..attempt("inventory", StatusCode::Unavailable)
        }],
        ..call("/a.B/Lost", StatusCode::Unavailable)
    };
    let late = CallOutcome {
        attempts: vec![AttemptOutcome {
            is_timed_out: true,
            ..attempt("inventory", StatusCode::DeadlineExceeded)
        }],
        ..call("/a.B/Late", StatusCode::DeadlineExceeded)
    };
    for (outcome, expected) in [
        (call(RESERVE, StatusCode::Unimplemented), "_OTHER"),
        (
            call(RESERVE, StatusCode::NotFound),
            "shop.Inventory/Reserve",
        ),
        (
            call(RESERVE, StatusCode::Unimplemented),
            "shop.Inventory/Reserve",
        ),
        (replied(LocalReply::CircuitOpen), "shop.Inventory/Reserve"),
        (call("/no-grpc-path", StatusCode::Ok), "_OTHER"),
        (call("/a.B/C?x", StatusCode::Ok), "_OTHER"),
        (lost, "_OTHER"),
        (late, "_OTHER"),
    ] {
        assert_eq!(
            &*calls.add(&outcome, UNIX_EPOCH),
            expected,
            "{:?}",
            outcome.path
        );
    }
}

#[test]
fn a_caller_cannot_make_up_labels_without_end() {
    let mut calls = Calls::default();
    for number in 0..METHODS_MAX + 10 {
        calls.add(
            &call_of(&format!("/a.B/M{number}"), StatusCode::Ok),
            UNIX_EPOCH,
        );
    }
    let others = ("_OTHER".to_owned(), StatusCode::Ok, 10);
    let counted = counted(&calls);
    assert_eq!(counted.len(), METHODS_MAX + 1);
    assert!(counted.contains(&others));
}

#[test]
fn callers_and_services_beyond_the_bound_are_counted_as_others() {
    let mut calls = Calls::default();
    for number in 0..SERIES_MAX + 3 {
        let mut outcome = replied(LocalReply::NoEndpoint);
        outcome.destination = service(&format!("s{number}"));
        calls.add(&outcome, UNIX_EPOCH);
    }
    let figures = calls.figures(&[], &[]);
    assert_eq!(figures.calls.len(), SERIES_MAX + 1);
    assert_eq!(figures.services.len(), SERVICES_MAX + 1);
    let find = |name: &str| {
        let found = figures
            .services
            .iter()
            .find(|series| *series.service == *name);
        found.map(|series| series.local_replies["no_endpoint"])
    };
    assert_eq!(find("s0"), Some(1));
    assert_eq!(find("_OTHER"), Some((SERIES_MAX + 3 - SERVICES_MAX) as u64));
}

#[test]
fn a_call_counts_once_however_often_it_was_tried() {
    let mut calls = Calls::default();
    calls.add(
        &CallOutcome {
            attempts: vec![
                attempt("inventory", StatusCode::Unavailable),
                attempt("inventory", StatusCode::Ok),
            ],
            retry: Some("success"),
            ..call(RESERVE, StatusCode::Ok)
        },
        UNIX_EPOCH,
    );
    let figures = calls.figures(&[], &[]);
    let [series] = figures.calls.as_slice() else {
        panic!("{figures:?}");
    };
    assert_eq!(series.duration.sum_ns, 2_000_000);
    let [rpcs] = figures.rpcs.as_slice() else {
        panic!("{figures:?}");
    };
    assert_eq!(
        (rpcs.completed, rpcs.request_bytes, rpcs.response_bytes),
        (1, 10, 100)
    );
    assert_eq!(rpcs.first_response.sum_ns, 1_000_000);
    assert_eq!(figures.services[0].retries["success"], 1);
}

#[test]
fn what_is_not_grpc_is_in_no_series_of_rpcs() {
    let mut calls = Calls::default();
    calls.add(
        &CallOutcome {
            is_grpc: false,
            ..replied(LocalReply::NoRoute)
        },
        UNIX_EPOCH,
    );
    let figures = calls.figures(&[], &[]);
    assert!(figures.calls.is_empty() && figures.rpcs.is_empty());
    assert_eq!(figures.services[0].local_replies["no_route"], 1);
}

#[test]
fn what_befell_a_call_is_counted_at_the_service_that_it_befell() {
    let delayed = CallOutcome {
        is_delayed: true,
        timeout: Some("request"),
        ..replied(LocalReply::Timeout)
    };
    let series = only_service(&[
        replied(LocalReply::RateLimited),
        replied(LocalReply::CircuitOpen),
        replied(LocalReply::Fault),
        delayed,
    ]);
    assert_eq!(
        (series.rate_limited, series.circuit_open, series.fallback),
        (1, 1, 0)
    );
    let faults: Vec<_> = series.faults.into_iter().collect();
    assert_eq!(faults, [("abort", 1), ("delay", 1)]);
    assert_eq!(series.timeouts["request"], 1);
    assert_eq!(series.local_replies.values().sum::<u64>(), 4);
}

#[test]
fn a_fallback_counts_at_the_service_that_it_stood_in_for() {
    let mut calls = Calls::default();
    calls.add(
        &CallOutcome {
            destination: service("cache"),
            attempts: vec![attempt("cache", StatusCode::Ok)],
            replaced: Some(Replaced {
                destination: service("inventory"),
                reason: Some(LocalReply::CircuitOpen),
            }),
            ..call(RESERVE, StatusCode::Ok)
        },
        UNIX_EPOCH,
    );
    let figures = calls.figures(&[], &[]);
    let [series] = figures.services.as_slice() else {
        panic!("{figures:?}");
    };
    assert_eq!(&*series.service, "inventory");
    assert_eq!((series.fallback, series.circuit_open), (1, 1));
    assert_eq!(&*figures.calls[0].labels.destination.service, "cache");
}

#[test]
fn tries_that_took_too_long_are_counted_though_the_call_did_not() {
    let late = AttemptOutcome {
        is_timed_out: true,
        ..attempt("inventory", StatusCode::DeadlineExceeded)
    };
    let series = only_service(&[CallOutcome {
        attempts: vec![late.clone(), late, attempt("inventory", StatusCode::Ok)],
        retry: Some("success"),
        ..call(RESERVE, StatusCode::Ok)
    }]);
    assert_eq!(series.timeouts["backend_request"], 2);
}

#[test]
fn what_is_open_and_what_is_connected_joins_what_has_ended() {
    let mut calls = Calls::default();
    calls.add(&call(RESERVE, StatusCode::Ok), UNIX_EPOCH);
    let open = OpenCalls::default();
    let outcome = call(RESERVE, StatusCode::Ok);
    let session = open.join(outcome.source, outcome.destination);
    let begin = |path| SessionCalls::begin(&session, PathAndQuery::from_static(path), later());
    let _open = (begin(RESERVE), begin(RESERVE), begin("/a.B/Unknown"));
    let upstream = |service: &str, active, mirrors_sent| UpstreamSeries {
        service: service.into(),
        namespace: "shop".into(),
        active,
        opened: 5,
        ejections: 1,
        mirrors_sent,
        mirrors_failed: 0,
    };
    let all = [
        upstream("inventory", 2, 0),
        upstream("inventory", 3, 0),
        upstream("shadow", 1, 4),
    ];

    let figures = calls.figures(&open.under_way(), &all);

    let active: Vec<_> = figures
        .rpcs
        .iter()
        .map(|series| (&*series.labels.method, series.active, series.completed))
        .collect();
    assert_eq!(active, [("_OTHER", 1, 0), ("shop.Inventory/Reserve", 2, 1)]);
    let [inventory, shadow] = figures.services.as_slice() else {
        panic!("{figures:?}");
    };
    assert_eq!(inventory.connections_active, 5);
    assert_eq!((inventory.connections_opened, inventory.ejections), (10, 2));
    assert!(inventory.mirrored.is_empty());
    assert_eq!(
        shadow.mirrored.iter().collect::<Vec<_>>(),
        [(&"success", &4)]
    );
}

/// A moment after every call of these tests.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn a_call_under_way_keeps_the_label_it_began_with_and_has_the_workload_of_its_try() {
    let open = OpenCalls::default();
    let first = call(RESERVE, StatusCode::Ok);
    let session = open.join(Arc::clone(&first.source), service("inventory"));
    let begin = |started| {
        let path = PathAndQuery::from_static(RESERVE);
        SessionCalls::begin(&session, path, started)
    };
    let before = begin(first.started);
    let after = begin(later());
    let mut calls = Calls::default();
    calls.add(&first, UNIX_EPOCH);
    let tried = Arc::new(DestinationLabels {
        workload: "inventory-v2".into(),
        ..(*service("inventory")).clone()
    });
    after.goes_to(&tried);

    let active = || -> Vec<(String, String, u64)> {
        let rpcs = calls.figures(&open.under_way(), &[]).rpcs.into_iter();
        let open = rpcs.filter(|series| series.active > 0);
        open.map(|series| {
            let RpcLabels {
                destination,
                method,
                ..
            } = series.labels;
            (
                method.to_string(),
                destination.workload.to_string(),
                series.active,
            )
        })
        .collect()
    };
    let row = |method: &str, workload: &str| (method.to_owned(), workload.to_owned(), 1);
    let named = row("shop.Inventory/Reserve", "inventory-v2");
    assert_eq!(active(), [row("_OTHER", ""), named.clone()]);
    drop(before);
    assert_eq!(active(), [named]);
}

#[test]
fn the_latest_recorded_call_of_each_bucket_is_its_exemplar() {
    let ended = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let parent = |is_sampled| {
        Some(TraceParent {
            trace_id: [7; 16],
            span_id: [1; 8],
            is_sampled,
        })
    };
    let mut calls = Calls::default();
    let mut add = |at, millis, parent, span: Option<[u8; 16]>| {
        let outcome = CallOutcome {
            duration: Duration::from_millis(millis),
            parent,
            span: span.map(|trace_id| CallSpan::new(trace_id, 1, 0)),
            ..call(RESERVE, StatusCode::Ok)
        };
        calls.add(&outcome, ended(at));
    };
    add(1, 2, None, Some([1; 16]));
    add(2, 2, None, Some([2; 16]));
    add(3, 2, None, None);
    add(4, 2, parent(false), None);
    add(5, 300, parent(true), None);

    let [series] = calls.figures(&[], &[]).calls.try_into().unwrap();

    let exemplar = |trace_id, millis, at| {
        Exemplar::new([trace_id; 16], Duration::from_millis(millis), ended(at))
    };
    assert_eq!(series.exemplars, [exemplar(2, 2, 2), exemplar(7, 300, 5)]);
}

proptest! {
    #[test]
    fn every_call_is_in_one_series_and_nothing_goes_back(
        all in prop::collection::vec((0..4_u8, 0..3_usize), 0..40),
    ) {
        let statuses = [StatusCode::Ok, StatusCode::Unimplemented, StatusCode::Internal];
        let mut calls = Calls::default();
        let mut before: Vec<(String, StatusCode, u64)> = vec![];
        for (number, (method, status)) in all.iter().enumerate() {
            calls.add(&call_of(&format!("/a.B/M{method}"), statuses[*status]), UNIX_EPOCH);
            let now = counted(&calls);
            prop_assert_eq!(now.iter().map(|(.., count)| *count).sum::<u64>(), number as u64 + 1);
            for (method, status, count) in before {
                let after = now.iter().find(|(m, s, _)| *m == method && *s == status);
                prop_assert!(after.is_some_and(|(.., after)| *after >= count));
            }
            before = now;
        }
    }
}
