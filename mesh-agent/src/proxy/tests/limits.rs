//! What a peer may make the proxy do.

use super::support::*;
use crate::model::{
    Algorithm, BackendTraffic, CallTraffic, CircuitBreaker, LoadBalancing, ObjectName,
    OutlierDetection,
};
use crate::proxy::ProxySettings;
use crate::route::RouteTable;
use h2::Reason;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Sends frames and gives the error code of the GOAWAY that comes back.
async fn goes_away_with(frame: &[u8], times: usize) -> Option<u32> {
    let mesh = Mesh::new(&[], CallTraffic::default());
    let socket = mesh.socket().await;
    let (mut reading, mut writing) = socket.into_split();
    let frame = frame.to_vec();
    let write = tokio::spawn(async move {
        if writing.write_all(PREFACE).await.is_err() {
            return;
        }
        for _ in 0..times {
            // The proxy hangs up in the middle of it.
            if writing.write_all(&frame).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    let mut code = None;
    let mut head = [0; 9];
    while reading.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if reading.read_exact(&mut payload).await.is_err() {
            break;
        }
        if head[3] == 7 {
            code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
    write.abort();
    code
}

#[tokio::test]
async fn floods_are_answered_with_calm() {
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    for (name, frame) in [("PING", &ping[..]), ("SETTINGS", &settings[..])] {
        assert_eq!(goes_away_with(frame, 1_000_000).await, Some(11), "{name}");
    }
}

#[tokio::test]
async fn one_connection_s_flood_does_not_disturb_another() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        served.answer(b"ok", "0");
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let mut flood = mesh.socket().await;
    flood.write_all(PREFACE).await.unwrap();
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    for _ in 0..100 {
        // It is cut off at some point.
        flood.write_all(&ping).await.ok();
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
            .await
            .unwrap();
        assert_eq!(answer.code(), "0");
    }
}

#[tokio::test]
async fn large_headers_are_refused_and_the_connection_lives() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        served.answer(b"ok", "0");
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let mut head = request("/shop.Cart/Add");
    let large = "x".repeat(100_000);
    head.headers_mut().insert("x-large", large.parse().unwrap());

    // A caller that keeps to the advertised limit does not send it; `h2` does.
    let refused = unary(&caller, head, b"x").await.unwrap();

    assert_eq!(refused.code(), "8");
    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    assert_eq!(answer.code(), "0");
}

#[tokio::test]
async fn connect_is_refused() {
    let mesh = Mesh::new(&[], CallTraffic::default());
    let mut caller = mesh.caller().await.ready().await.unwrap();
    let head = http::Request::connect("cart.shop:80").body(()).unwrap();
    let (response, _sender) = caller.send_request(head, false).unwrap();
    assert_eq!(read(response).await.unwrap().head.status, 405);
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_takes_no_new_ones() {
    let (release, released) = tokio::sync::watch::channel(false);
    let endpoint = endpoint(move |mut served| {
        let mut released = released.clone();
        async move {
            served.body().await;
            released.wait_for(|now| *now).await.unwrap();
            served.answer(b"ok", "0");
        }
    })
    .await;
    let mut mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
    sender.send_data(message(b"x"), true).unwrap();
    let drain = std::mem::take(&mut mesh.drain);
    let drained = tokio::spawn(drain.finish(Duration::from_secs(60)));

    // The first GOAWAY takes every stream; the second one, a round trip later, none.
    while caller.clone().ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.send(true).unwrap();

    assert_eq!(read(response).await.unwrap().code(), "0");
    assert!(drained.await.unwrap());
    assert_eq!(mesh.shared.figures.sessions(), 0);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_calls_off() {
    let endpoint = endpoint(|served| async move {
        let _unanswered = served;
        std::future::pending::<()>().await;
    })
    .await;
    let mut mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, _sender) = open(&caller, request("/shop.Cart/Add")).await;
    while mesh.shared.figures.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let drain = std::mem::take(&mut mesh.drain);

    assert!(!drain.finish(Duration::ZERO).await);

    assert!(read(response).await.is_err());
    assert_eq!(mesh.shared.figures.calls(), 0);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_caller_that_has_sent_no_preface() {
    let mut mesh = Mesh::new(&[], CallTraffic::default());
    let mut silent = mesh.socket().await;
    while mesh.shared.figures.sessions() == 0 {
        tokio::task::yield_now().await;
    }
    let drain = std::mem::take(&mut mesh.drain);

    drain.finish(Duration::ZERO).await;

    let mut rest = vec![];
    // The server's SETTINGS, and the end; or a reset.
    silent.read_to_end(&mut rest).await.ok();
    assert_eq!(mesh.shared.figures.sessions(), 0);
}

#[tokio::test]
async fn callers_of_a_port_that_is_not_routed_any_more_are_asked_to_leave() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        served.answer(b"ok", "0");
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    assert_eq!(answer.code(), "0");

    let old = mesh.shared.routes.swap(Arc::new(RouteTable::default()));
    mesh.proxy.routes_changed();

    // Requests that are on their way already are served as before.
    while let Ok(answer) = unary(&caller, request("/shop.Cart/Add"), b"x").await {
        assert_eq!(answer.code(), "0");
        if caller.clone().ready().await.is_err() {
            break;
        }
    }
    while mesh.shared.figures.sessions() > 0 {
        tokio::task::yield_now().await;
    }
    drop(old);
}

#[tokio::test]
async fn who_resets_before_being_seen_too_often_is_sent_away() {
    let mesh = Mesh::new(&[], CallTraffic::default());
    let socket = mesh.socket().await;
    let (caller, connection) = h2::client::handshake(socket).await.unwrap();
    let ended = tokio::spawn(connection);
    let mut caller = caller.ready().await.unwrap();
    for _ in 0..100_000 {
        let Ok((_, mut sender)) = caller.send_request(request("/shop.Cart/Add"), false) else {
            break;
        };
        sender.send_reset(Reason::CANCEL);
        let Ok(next) = caller.ready().await else {
            break;
        };
        caller = next;
    }
    mesh.is_quiet().await;
    // Whether it was sent away or not, nothing of it is left.
    ended.abort();
    assert_eq!(mesh.shared.figures.calls(), 0);
}

/// An endpoint that takes one stream and leaves it open.
async fn full_after_one() -> std::net::SocketAddr {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    endpoint_with(builder, |mut served| async move {
        let _answer = served.respond.send_response(grpc_head(), false).unwrap();
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn endpoints_that_are_full_are_not_ejected() {
    let endpoints = [full_after_one().await, full_after_one().await];
    let traffic = BackendTraffic {
        load_balancing: LoadBalancing {
            algorithm: Algorithm::RoundRobin,
            slow_start: None,
        },
        circuit_breaker: Some(CircuitBreaker {
            connections_max: 2,
            ..CircuitBreaker::default()
        }),
        outlier_detection: Some(OutlierDetection {
            consecutive_failures: NonZeroU32::new(1),
            ..OutlierDetection::default()
        }),
        ..BackendTraffic::default()
    };
    let backend = backend(&endpoints, traffic);
    let table = table(&backend, rule(&backend, CallTraffic::default()));
    let mesh = Mesh::with(table, ProxySettings::default());
    let caller = mesh.caller().await;
    let mut held = vec![];
    for _ in 0..2 {
        let (response, sender) = open(&caller, request("/shop.Cart/Watch")).await;
        held.push((response.await.unwrap(), sender));
    }
    // Only the wait for room is left to pass.
    tokio::time::pause();

    let refused = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();

    assert_eq!(refused.code(), "14");
    let name = ObjectName::new("shop", "cart");
    let destination = mesh.shared.destinations.get(&name, 80, false).unwrap();
    assert_eq!(destination.balancer.ejections(), 0);
}
