//! What ends because nothing happens, or because it has lasted long enough: idle streams, idle connections, old connections.

use super::support::*;
use crate::model::{BackendTraffic, CallTraffic, Timeouts};
use crate::proxy::ProxySettings;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What an endpoint tells of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Message,
    Cancelled,
}

/// An endpoint whose streams end only with their callers. `has_head`: it answers with a head at once.
async fn silent(has_head: bool) -> (SocketAddr, UnboundedReceiver<Told>) {
    let (tell, told) = unbounded_channel();
    let address = endpoint(move |mut served| {
        let tell = tell.clone();
        async move {
            let _sender = has_head
                .then(|| served.respond.send_response(grpc_head(), false))
                .transpose()
                .unwrap();
            while let Some(Ok(_)) = served.request.body_mut().data().await {
                tell.send(Told::Message).unwrap();
            }
            tell.send(Told::Cancelled).unwrap();
        }
    })
    .await;
    (address, told)
}

fn idle_after(time: Duration) -> CallTraffic {
    CallTraffic {
        timeouts: Timeouts {
            // Is over with the second message.
            request: Some(MINUTE),
            stream_idle: Some(time),
            ..Timeouts::default()
        },
        ..CallTraffic::default()
    }
}

#[tokio::test]
async fn a_stream_on_which_nothing_moves_ends_and_one_that_moves_goes_on() {
    for has_head in [true, false] {
        let (endpoint, mut told) = silent(has_head).await;
        let mesh = Mesh::new(&[endpoint], idle_after(10 * MINUTE));
        let caller = mesh.caller().await;
        let (response, mut sender) = open(&caller, request("/shop.Cart/Watch")).await;
        let answer = tokio::spawn(read(response));
        sender.send_data(message(b"here"), false).unwrap();
        assert_eq!(told.recv().await, Some(Told::Message));
        for _ in 0..3 {
            sender.send_data(message(b"still here"), false).unwrap();
            assert_eq!(told.recv().await, Some(Told::Message));
            pass(9 * MINUTE).await;
            assert_eq!(mesh.shared.figures.calls(), 1, "head: {has_head}");
        }
        pass(2 * MINUTE).await;

        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.code(), "4", "head: {has_head}");
        assert_eq!(answer.mesh_error(), Some("stream_idle"));
        assert_eq!(told.recv().await, Some(Told::Cancelled));
        mesh.is_quiet().await;
        let [outcome] = mesh.outcomes().try_into().unwrap();
        assert_eq!(outcome.timeout, Some("stream_idle"));
    }
}

fn connections(mesh: &Mesh) -> (u64, u64) {
    let [series] = mesh.shared.destinations.upstream().try_into().unwrap();
    (series.active, series.opened)
}

#[tokio::test]
async fn a_connection_without_streams_ends_after_a_while_and_one_with_streams_stays() {
    let endpoint = endpoint(|mut served| async move {
        if served.request.uri().path().ends_with("Watch") {
            let _stream = served.respond.send_response(grpc_head(), false).unwrap();
            return std::future::pending().await;
        }
        served.body().await;
        served.answer(b"ok", "0");
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (watched, sender) = open(&caller, request("/shop.Cart/Watch")).await;
    let watched = watched.await.unwrap();
    pass(60 * MINUTE).await;
    assert_eq!(connections(&mesh), (1, 1));

    drop((watched, sender));
    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    assert_eq!(answer.code(), "0");
    mesh.is_quiet().await;
    pass(25 * MINUTE).await;
    assert_eq!(connections(&mesh), (1, 1));
    pass(40 * MINUTE).await;
    while connections(&mesh) != (0, 1) {
        tokio::task::yield_now().await;
    }
    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    assert_eq!(answer.code(), "0");
    assert_eq!(connections(&mesh), (1, 2));
}

#[tokio::test]
async fn an_old_connection_takes_no_new_calls_and_finishes_those_it_has() {
    let go_on = Arc::new(Notify::new());
    let waiting = Arc::clone(&go_on);
    let (tell, mut came) = unbounded_channel();
    let endpoint = endpoint(move |mut served| {
        let (waiting, tell) = (Arc::clone(&waiting), tell.clone());
        async move {
            served.body().await;
            tell.send(()).unwrap();
            waiting.notified().await;
            served.answer(b"ok", "0");
        }
    })
    .await;
    let traffic = BackendTraffic {
        connection_age_max: Some(10 * MINUTE),
        ..BackendTraffic::default()
    };
    let backend = backend(&[endpoint], traffic);
    let table = table(&backend, rule(&backend, CallTraffic::default()));
    let mesh = Mesh::with(table, ProxySettings::default());
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
    sender.send_data(message(b"x"), true).unwrap();
    assert_eq!(came.recv().await, Some(()));
    // A tenth more or less.
    pass(9 * MINUTE - SECOND).await;
    assert!(caller.clone().ready().await.is_ok());
    pass(2 * MINUTE + SECOND).await;
    while caller.clone().ready().await.is_ok() {
        tokio::task::yield_now().await;
    }

    go_on.notify_one();
    assert_eq!(read(response).await.unwrap().code(), "0");
    while mesh.shared.figures.sessions() > 0 {
        tokio::task::yield_now().await;
    }
}
