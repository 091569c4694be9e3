//! What a call that ends early has held of a connection's window goes back: others are not to stand still for it.

use super::support::*;
use crate::model::{BackendTraffic, CallTraffic};
use crate::proxy::{ProxySettings, WireLimits};
use bytes::Bytes;
use std::net::SocketAddr;

/// Fewer bytes than the window of a stream; of those of a connection some calls use up all.
const LARGE: usize = 200_000;

/// Calls that end early.
const CALLS: usize = 10;

fn mesh(endpoint: SocketAddr) -> Mesh {
    let backend = backend(&[endpoint], BackendTraffic::default());
    let table = table(&backend, rule(&backend, CallTraffic::default()));
    let limits = WireLimits {
        caller_window_bytes: 512 << 10,
        endpoint_window_bytes: 512 << 10,
        ..WireLimits::default()
    };
    let settings = ProxySettings {
        limits,
        ..ProxySettings::default()
    };
    Mesh::with(table, settings)
}

#[tokio::test]
async fn answers_that_nobody_read_to_their_end_leave_their_connection_to_others() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        served.answer(&[7; LARGE], "0");
    })
    .await;
    let mesh = mesh(endpoint);
    let caller = mesh.caller().await;
    for _ in 0..CALLS {
        let (response, mut sender) = open(&caller, request("/shop.Cart/List")).await;
        sender.send_data(message(b"x"), true).unwrap();
        let unread = response.await.unwrap();
        // The caller's window is full, and the proxy holds the rest.
        settle().await;
        drop((unread, sender));
        mesh.is_quiet().await;
    }
    let answer = unary(&caller, request("/shop.Cart/List"), b"x").await;
    assert_eq!(answer.unwrap().body.len(), message(&[7; LARGE]).len());
}

#[tokio::test]
async fn requests_that_are_answered_before_their_end_leave_their_connection_to_others() {
    let endpoint = endpoint(|mut served| async move {
        if served.request.uri().path() == "/shop.Cart/Fill" {
            // Its window is full, and the proxy holds the rest.
            settle().await;
            return served.fail("9");
        }
        let body = served.body().await;
        served.answer(body.len().to_string().as_bytes(), "0");
    })
    .await;
    let mesh = mesh(endpoint);
    let caller = mesh.caller().await;
    let large = message(&[7; LARGE]);
    for _ in 0..CALLS {
        let (response, mut sender) = open(&caller, request("/shop.Cart/Fill")).await;
        sender.send_data(Bytes::clone(&large), false).unwrap();
        assert_eq!(read(response).await.unwrap().code(), "9");
        drop(sender);
        mesh.is_quiet().await;
    }
    let answer = unary(&caller, request("/shop.Cart/Count"), &[7; LARGE]).await;
    let counted = large.len().to_string();
    assert_eq!(answer.unwrap().body, message(counted.as_bytes()));
}
