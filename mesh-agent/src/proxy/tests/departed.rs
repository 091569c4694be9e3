//! Connections to ports that are not routed any more.

use super::support::*;
use crate::model::{BackendTraffic, CallTraffic};
use crate::proxy::departed::{Departed, KEPT};
use crate::route::RouteTable;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn a_port_is_kept_for_a_while_unless_it_comes_back() {
    let backend = backend(&[], BackendTraffic::default());
    let routed = table(&backend, rule(&backend, CallTraffic::default()));
    let none = RouteTable::default();
    let begin = Instant::now();
    let departed = Departed::default();
    departed.follow(&none, &routed, begin);
    assert!(departed.port(REQUESTED, begin).is_none(), "it is routed");

    departed.follow(&routed, &none, begin);
    let kept = departed.port(REQUESTED, begin + KEPT - Duration::from_millis(1));
    assert_eq!(kept.as_ref(), routed.port(REQUESTED));
    assert!(departed.port(REQUESTED, begin + KEPT).is_none());

    departed.follow(&none, &routed, begin);
    let kept = departed.port(REQUESTED, begin);
    assert!(kept.is_none(), "it is routed again");
}

#[tokio::test]
async fn a_connection_that_was_on_its_way_is_served_and_asked_to_leave() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        served.answer(b"one", "0");
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    mesh.shared.follow(Arc::default());
    mesh.proxy.routes_changed();

    let caller = mesh.caller().await;
    let answer = unary(&caller, request("/shop.Cart/Add"), b"apple").await;
    assert_eq!(answer.unwrap().code(), "0");
    // Until GOAWAY has come.
    while caller.clone().ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    drop(caller);
    while mesh.shared.figures.sessions() > 0 {
        tokio::task::yield_now().await;
    }
}
