//! Limits and faults that a policy puts on requests: rate limit, fault, circuit breaker.

use super::support::*;
use crate::model::{
    BackendTraffic, CallTraffic, CircuitBreaker, Fault, ObjectName, RateLimit, RateLimitKey,
};
use crate::proxy::{Caller, ProxySettings};
use bytes::Bytes;
use h2::client::SendRequest;
use http::HeaderValue;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

async fn serving() -> SocketAddr {
    endpoint(|mut served| async move {
        served.body().await;
        served.answer(b"ok", "0");
    })
    .await
}

fn limited(per: RateLimitKey) -> CallTraffic {
    CallTraffic {
        rate_limit: Some(RateLimit {
            requests_per_second: NonZeroU32::MIN,
            burst: NonZeroU32::new(3).unwrap(),
            per,
        }),
        ..CallTraffic::default()
    }
}

/// Makes calls as a user; gives how many were answered by the service. The others were refused as they should be.
async fn admitted(caller: &SendRequest<Bytes>, user: &'static str, count: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..count {
        let mut head = request("/shop.Cart/Add");
        let user = HeaderValue::from_static(user);
        head.headers_mut().insert("x-user", user);
        let answer = unary(caller, head, b"x").await.unwrap();
        match answer.mesh_error() {
            None => admitted += 1,
            Some(reason) => assert_eq!((reason, answer.code()), ("rate_limited", "8")),
        }
    }
    admitted
}

#[tokio::test]
async fn a_rate_limit_lets_its_burst_pass_for_each_of_its_keys() {
    let endpoint = serving().await;
    for (per, buckets) in [
        (RateLimitKey::Total, 1),
        // All from one workload, or from none that is known.
        (RateLimitKey::Source, 1),
        (RateLimitKey::Header("x-user".into()), 2),
    ] {
        let mesh = Mesh::new(&[endpoint], limited(per.clone()));
        let caller = mesh.caller().await;
        let started = Instant::now();
        let mut seen = 0;
        for user in ["ann", "bob"] {
            seen += admitted(&caller, user, 30).await;
        }
        // A token more each second that the machine took, in each bucket.
        let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
        let most = buckets * (3 + seconds + 1);
        assert!((buckets * 3..=most).contains(&seen), "{per:?}: {seen}");
    }
}

#[tokio::test]
async fn workloads_of_one_name_in_two_namespaces_have_limits_of_their_own() {
    let mesh = Mesh::new(&[serving().await], limited(RateLimitKey::Source));
    for namespace in ["shop", "bank"] {
        let caller = mesh.connect(Caller {
            workload: Some(ObjectName::new(namespace, "web")),
            ..Caller::default()
        });
        let caller = caller.await;
        assert!(admitted(&caller, "ann", 3).await == 3, "{namespace}");
    }
}

#[tokio::test]
async fn what_is_not_grpc_is_limited_with_429() {
    let mesh = Mesh::new(&[serving().await], limited(RateLimitKey::Total));
    let caller = mesh.caller().await;
    let mut refused = 0;
    for _ in 0..30 {
        let mut plain = request("/shop.Cart/Add");
        plain.headers_mut().remove("content-type");
        let answer = unary(&caller, plain, b"x").await.unwrap();
        refused += u32::from(answer.head.status == 429);
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_fault_delays_or_answers_in_place_of_the_service() {
    let endpoint = serving().await;
    let delay = Some((100.0, Duration::from_secs(20)));
    for (delay, abort, code) in [
        (None, Some((100.0, 10)), "10"),
        (delay, None, "0"),
        (delay, Some((100.0, 7)), "7"),
    ] {
        let traffic = CallTraffic {
            fault: Fault { delay, abort },
            ..CallTraffic::default()
        };
        let mesh = Mesh::new(&[endpoint], traffic);
        let caller = mesh.caller().await;
        let started = tokio::time::Instant::now();
        let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
        sender.send_data(message(b"x"), true).unwrap();
        if delay.is_some() {
            while mesh.shared.figures.calls() == 0 {
                tokio::task::yield_now().await;
            }
            settle().await;
            // Nothing is left to do but to wait.
            pass(Duration::from_secs(19)).await;
            assert_eq!(mesh.shared.figures.calls(), 1);
            pass(Duration::from_secs(1)).await;
        }
        let answer = read(response).await.unwrap();
        assert_eq!(answer.code(), code);
        assert_eq!(answer.mesh_error(), abort.map(|_| "fault"));
        assert_eq!(
            started.elapsed() >= Duration::from_secs(20),
            delay.is_some()
        );
        mesh.is_quiet().await;
        let [outcome] = mesh.outcomes().try_into().unwrap();
        assert_eq!(outcome.is_delayed, delay.is_some());
        assert_eq!(outcome.attempts.is_empty(), abort.is_some());
    }
}

/// An endpoint that takes so many streams on a connection, and answers when it is let.
async fn held_back(streams_max: u32) -> (SocketAddr, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams_max);
    let address = endpoint_with(builder, move |mut served| {
        let gate = Arc::clone(&gate);
        async move {
            served.body().await;
            gate.acquire().await.unwrap().forget();
            served.answer(b"ok", "0");
        }
    })
    .await;
    (address, opened)
}

fn broken_at(endpoint: SocketAddr, breaker: CircuitBreaker) -> Mesh {
    let traffic = BackendTraffic {
        circuit_breaker: Some(breaker),
        ..BackendTraffic::default()
    };
    let backend = backend(&[endpoint], traffic);
    let table = table(&backend, rule(&backend, CallTraffic::default()));
    Mesh::with(table, ProxySettings::default())
}

/// Makes a call; its status, and why the mesh answered.
async fn called(caller: &SendRequest<Bytes>) -> (String, Option<String>) {
    let answer = unary(caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    let error = answer.mesh_error().map(str::to_owned);
    (answer.code().to_owned(), error)
}

async fn is_refused(caller: &SendRequest<Bytes>) {
    let circuit_open = Some("circuit_open".to_owned());
    assert_eq!(called(caller).await, ("14".to_owned(), circuit_open));
}

#[tokio::test]
async fn a_request_above_the_bound_is_refused_until_another_one_has_ended() {
    let (endpoint, gate) = held_back(100).await;
    let breaker = CircuitBreaker {
        requests_max: 1,
        ..CircuitBreaker::default()
    };
    let mesh = broken_at(endpoint, breaker);
    let caller = mesh.caller().await;
    let (first, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
    sender.send_data(message(b"x"), true).unwrap();
    while mesh.shared.figures.calls() == 0 {
        tokio::task::yield_now().await;
    }
    is_refused(&caller).await;

    gate.add_permits(2);
    assert_eq!(read(first).await.unwrap().code(), "0");
    mesh.is_quiet().await;
    assert_eq!(called(&caller).await.0, "0");
}

#[tokio::test]
async fn no_more_requests_than_allowed_wait_for_a_place() {
    let (endpoint, gate) = held_back(1).await;
    let breaker = CircuitBreaker {
        connections_max: 1,
        pending_max: 1,
        ..CircuitBreaker::default()
    };
    let mesh = broken_at(endpoint, breaker);
    let caller = mesh.caller().await;
    // Makes the connection, whose limit is known when it is answered.
    gate.add_permits(1);
    assert_eq!(called(&caller).await.0, "0");

    let mut under_way = vec![];
    for _ in 0..2 {
        let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
        sender.send_data(message(b"x"), true).unwrap();
        under_way.push(response);
    }
    is_refused(&caller).await;
    gate.add_permits(2);
    for response in under_way {
        // On a machine that stands still the second one may have waited for too long: that is another reason.
        let answer = read(response).await.unwrap();
        assert_ne!(answer.mesh_error(), Some("circuit_open"));
    }
}
