//! What is told of calls: traces to endpoints, everything else to who counts.

use super::support::*;
use crate::model::{
    BackendTraffic, CallTraffic, Fallback, FallbackAnswer, FallbackReasons, Retry, Timeouts,
};
use crate::observe::{LocalReply, Propagated, Recording};
use crate::proxy::ProxySettings;
use crate::route::RouteTable;
use http::{HeaderMap, HeaderValue, Request};
use mesh_common::meter::StatusCode;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The headers that reach an endpoint, which fails the first try of a call.
type Seen = Arc<Mutex<Vec<HeaderMap>>>;

async fn failing_once() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let address = endpoint(move |mut served| {
        noted.lock().unwrap().push(served.request.headers().clone());
        async move {
            served.body().await;
            if served.number == 0 {
                served.fail("14");
            } else {
                served.answer(b"added", "0");
            }
        }
    })
    .await;
    (address, seen)
}

fn traced(endpoints: &[SocketAddr], recording: Recording) -> Mesh {
    let backend = backend(endpoints, BackendTraffic::default());
    let retry = Retry {
        attempts: 1,
        backoff_base: Duration::from_millis(1),
        ..Retry::default()
    };
    let traffic = CallTraffic {
        retry: Some(retry),
        ..CallTraffic::default()
    };
    let rule = rule(&backend, traffic);
    let settings = ProxySettings {
        recording,
        ..ProxySettings::default()
    };
    Mesh::with(table(&backend, rule), settings)
}

fn with_headers(all: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = request("/shop.Cart/Add");
    for (name, value) in all {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(*name, value);
    }
    request
}

#[tokio::test]
async fn each_try_is_told_of_its_own_span_in_the_caller_s_trace_or_a_new_one() {
    let all = Recording {
        ratio: u32::MAX,
        parent: true,
    };
    for headers in [vec![], vec![("traceparent", CALLER), ("tracestate", "a=b")]] {
        let (endpoint, seen) = failing_once().await;
        let mesh = traced(&[endpoint], all);
        let caller = mesh.caller().await;
        let answer = unary(&caller, with_headers(&headers), b"apple")
            .await
            .unwrap();
        assert_eq!(answer.code(), "0");
        mesh.is_quiet().await;

        let [outcome] = mesh.outcomes().try_into().unwrap();
        let span = outcome.span.unwrap();
        assert_eq!(outcome.parent.is_some(), !headers.is_empty());
        if let Some(parent) = outcome.parent {
            assert_eq!(span.trace_id, parent.trace_id);
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        for (number, headers) in seen.iter().enumerate() {
            let told = Propagated::read(headers).parent.unwrap();
            assert_eq!((told.trace_id, told.is_sampled), (span.trace_id, true));
            assert_eq!(told.span_id, span.attempt(number));
        }
        assert_eq!(seen[0].contains_key("tracestate"), !headers.is_empty());
    }
}

#[tokio::test]
async fn what_is_not_recorded_is_passed_on_as_it_came() {
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let parents = Recording {
        ratio: u32::MAX,
        parent: true,
    };
    for (recording, headers) in [
        (
            Recording::default(),
            vec![("traceparent", CALLER), ("b3", "0")],
        ),
        (Recording::default(), vec![]),
        (parents, vec![("traceparent", unsampled)]),
        (parents, vec![("b3", "0")]),
    ] {
        let (endpoint, seen) = failing_once().await;
        let mesh = traced(&[endpoint], recording);
        let caller = mesh.caller().await;
        unary(&caller, with_headers(&headers), b"apple")
            .await
            .unwrap();
        mesh.is_quiet().await;

        let [outcome] = mesh.outcomes().try_into().unwrap();
        assert_eq!(outcome.span, None);
        let expected = with_headers(&headers);
        for name in ["traceparent", "tracestate", "b3", "x-b3-traceid"] {
            let got = seen.lock().unwrap()[0].get(name).cloned();
            assert_eq!(got.as_ref(), expected.headers().get(name), "{name}");
        }
    }
}

#[tokio::test]
async fn calls_are_open_while_they_are_under_way() {
    let go_on = Arc::new(Notify::new());
    let waiting = Arc::clone(&go_on);
    let endpoint = endpoint(move |mut served| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.notified().await;
            served.answer(b"added", "0");
        }
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, sender) = open(&caller, request("/shop.Cart/Add")).await;
    while mesh.shared.figures.calls() == 0 {
        tokio::task::yield_now().await;
    }

    let [call] = mesh.shared.open.under_way().try_into().unwrap();
    assert_eq!(call.path.as_str(), "/shop.Cart/Add");
    assert_eq!(&*call.destination.service, "cart");
    go_on.notify_one();
    read(response).await.unwrap();
    drop(sender);
    mesh.is_quiet().await;
    assert_eq!(mesh.shared.open.under_way(), []);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_no_answer() {
    let come = Arc::new(Notify::new());
    let told = Arc::clone(&come);
    let endpoint = endpoint(move |served| {
        told.notify_one();
        async move {
            std::future::pending::<()>().await;
            drop(served);
        }
    })
    .await;
    let traffic = CallTraffic {
        timeouts: Timeouts {
            backend_request: Some(Duration::from_secs(3)),
            ..Timeouts::default()
        },
        ..CallTraffic::default()
    };
    let mesh = Mesh::new(&[endpoint], traffic);
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
    sender.send_data(message(b"apple"), true).unwrap();
    come.notified().await;
    // Nothing is left to do but to wait, so the clock jumps to the end of it.
    tokio::time::pause();
    let answer = read(response).await.unwrap();
    tokio::time::resume();
    assert_eq!(answer.code(), "4");
    mesh.is_quiet().await;

    let [outcome] = mesh.outcomes().try_into().unwrap();
    let attempt = &outcome.attempts[0];
    assert_eq!((attempt.is_timed_out, attempt.is_answered), (true, false));
    assert_eq!(attempt.status, StatusCode::DeadlineExceeded);
}

#[tokio::test]
async fn what_was_counted_of_connections_stays_when_the_service_goes() {
    let (endpoint, _) = failing_once().await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    unary(&caller, request("/shop.Cart/Add"), b"apple")
        .await
        .unwrap();
    mesh.is_quiet().await;
    let counted = || {
        let [series] = mesh.shared.destinations.upstream().try_into().unwrap();
        assert_eq!((&*series.namespace, &*series.service), ("shop", "cart"));
        (series.opened, series.active)
    };
    assert_eq!(counted(), (1, 1));

    drop(caller);
    while mesh.shared.figures.sessions() > 0 {
        tokio::task::yield_now().await;
    }
    mesh.shared.follow(Arc::new(RouteTable::default()));
    mesh.proxy.routes_changed();
    assert_eq!(counted(), (1, 0));
}

#[tokio::test]
async fn a_fallback_says_what_it_stood_in_for() {
    let backend = backend(&[], BackendTraffic::default());
    let fallback = Fallback {
        on: FallbackReasons::default(),
        answer: FallbackAnswer::Status(5, "nothing there".into()),
    };
    let traffic = CallTraffic {
        fallback: Some(fallback),
        ..CallTraffic::default()
    };
    let rule = rule(&backend, traffic);
    let mesh = Mesh::with(table(&backend, rule), ProxySettings::default());
    let caller = mesh.caller().await;
    let answer = unary(&caller, request("/shop.Cart/Add"), b"apple")
        .await
        .unwrap();
    assert_eq!(answer.code(), "5");
    mesh.is_quiet().await;

    let [outcome] = mesh.outcomes().try_into().unwrap();
    let replaced = outcome.replaced.unwrap();
    assert_eq!(replaced.reason, Some(LocalReply::NoEndpoint));
    assert_eq!(&*replaced.destination.service, "cart");
    assert_eq!(outcome.local_reply, Some(LocalReply::Fallback));
}
