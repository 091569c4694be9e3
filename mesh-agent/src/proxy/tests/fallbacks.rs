//! What answers when the service cannot.

use super::support::*;
use crate::model::{
    BackendTraffic, CallTraffic, CircuitBreaker, Fallback, FallbackAnswer, FallbackReasons,
    ObjectName, Retry,
};
use crate::observe::LocalReply;
use crate::proxy::ProxySettings;
use crate::route::Backend;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const ALL: FallbackReasons = FallbackReasons {
    no_endpoint: true,
    connect_failure: true,
    circuit_open: true,
    retries_exhausted: true,
};

fn falling_back(on: FallbackReasons, answer: FallbackAnswer) -> CallTraffic {
    let retry = Retry {
        attempts: 1,
        backoff_base: Duration::from_millis(1),
        ..Retry::default()
    };
    CallTraffic {
        retry: Some(retry),
        fallback: Some(Fallback { on, answer }),
        ..CallTraffic::default()
    }
}

fn no_answer_but(backend: &str) -> FallbackAnswer {
    FallbackAnswer::Backend(ObjectName::new("shop", backend), 80)
}

/// A proxy whose backend is one and whose fallback is another.
fn mesh(backend: &Arc<Backend>, on: FallbackReasons, fallback: SocketAddr) -> Mesh {
    let mut rule = rule(backend, falling_back(on, no_answer_but("cache")));
    rule.fallback = Some(Ok(super::support::backend(
        &[fallback],
        BackendTraffic::default(),
    )));
    Mesh::with(table(backend, rule), ProxySettings::default())
}

/// An address that refuses connections.
fn dead() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Ends every call with UNAVAILABLE.
async fn failing() -> SocketAddr {
    endpoint(|mut served| async move {
        served.body().await;
        served.fail("14");
    })
    .await
}

/// Answers with the request's message.
async fn echo() -> SocketAddr {
    endpoint(|mut served| async move {
        let body = served.body().await;
        served.answer(&body[5..], "0");
    })
    .await
}

#[tokio::test]
async fn a_fixed_message_is_an_answer_for_each_reason() {
    let open = BackendTraffic {
        circuit_breaker: Some(CircuitBreaker {
            requests_max: 0,
            ..CircuitBreaker::default()
        }),
        ..BackendTraffic::default()
    };
    let serving = echo().await;
    for (backend, reason) in [
        (
            backend(&[], BackendTraffic::default()),
            Some(LocalReply::NoEndpoint),
        ),
        (
            backend(&[dead()], BackendTraffic::default()),
            Some(LocalReply::ConnectFailure),
        ),
        (backend(&[serving], open), Some(LocalReply::CircuitOpen)),
        (backend(&[failing().await], BackendTraffic::default()), None),
    ] {
        let message: Arc<[u8]> = Arc::from(&b"nothing in stock"[..]);
        let traffic = falling_back(ALL, FallbackAnswer::Message(message));
        let mesh = Mesh::with(
            table(&backend, rule(&backend, traffic)),
            ProxySettings::default(),
        );
        let caller = mesh.caller().await;
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
            .await
            .unwrap();
        assert_eq!(answer.code(), "0", "{reason:?}");
        assert_eq!(answer.body, super::support::message(b"nothing in stock"));
        assert_eq!(answer.mesh_error(), Some("fallback"));
        mesh.is_quiet().await;
        let [outcome] = mesh.outcomes().try_into().unwrap();
        assert_eq!(outcome.replaced.unwrap().reason, reason);
    }
}

#[tokio::test]
async fn a_reason_that_is_not_named_is_none() {
    let only_no_endpoint = FallbackReasons {
        no_endpoint: true,
        connect_failure: false,
        circuit_open: false,
        retries_exhausted: false,
    };
    let cache = echo().await;
    for (endpoint, on) in [
        (dead(), only_no_endpoint),
        (failing().await, FallbackReasons::default()),
    ] {
        let backend = backend(&[endpoint], BackendTraffic::default());
        let mesh = mesh(&backend, on, cache);
        let caller = mesh.caller().await;
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
            .await
            .unwrap();
        assert_eq!(answer.code(), "14");
    }
}

#[tokio::test]
async fn another_service_gets_the_request_as_it_was_when_every_try_has_failed() {
    let backend = backend(&[failing().await], BackendTraffic::default());
    let mesh = mesh(&backend, ALL, echo().await);
    let caller = mesh.caller().await;
    let answer = unary(&caller, request("/shop.Cart/Add"), b"apple")
        .await
        .unwrap();
    assert_eq!(answer.code(), "0");
    assert_eq!(answer.body, message(b"apple"));
    mesh.is_quiet().await;
    let [outcome] = mesh.outcomes().try_into().unwrap();
    assert_eq!(outcome.attempts.len(), 3, "two tries, and the fallback's");
    assert_eq!(outcome.retry, Some("limit"));
    assert_eq!(outcome.local_reply, None);
}

#[tokio::test]
async fn a_fallback_that_fails_is_tried_once_and_its_failure_is_the_answer() {
    let cache = endpoint(|mut served| async move {
        served.body().await;
        assert_eq!(served.number, 0, "it is not retried");
        served.fail("5");
    })
    .await;
    let backend = backend(&[dead()], BackendTraffic::default());
    let mesh = mesh(&backend, ALL, cache);
    let caller = mesh.caller().await;
    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    assert_eq!(answer.code(), "5");
    assert_eq!(answer.mesh_error(), None);
}

/// Too large to be kept for another try.
#[tokio::test]
async fn a_request_that_is_gone_stays_with_the_failure_of_the_service() {
    let backend = backend(&[failing().await], BackendTraffic::default());
    let mesh = mesh(&backend, ALL, echo().await);
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
    let large: Bytes = message(&vec![0; 100 << 10]);
    sender.send_data(large, true).unwrap();
    assert_eq!(read(response).await.unwrap().code(), "14");
}

#[tokio::test]
async fn a_fallback_that_does_not_resolve_says_so() {
    let backend = backend(&[], BackendTraffic::default());
    let mut rule = rule(&backend, falling_back(ALL, no_answer_but("nowhere")));
    rule.fallback = Some(Err("no Service shop/nowhere".into()));
    let mesh = Mesh::with(table(&backend, rule), ProxySettings::default());
    let caller = mesh.caller().await;
    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    assert_eq!(answer.code(), "14");
    assert_eq!(answer.mesh_error(), Some("unresolved_backend"));
}
