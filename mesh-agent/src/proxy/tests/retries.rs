//! Which failures are tried again.

use super::support::*;
use crate::model::{
    Algorithm, BackendTraffic, CallTraffic, CodeSet, LoadBalancing, Retry, Timeouts,
};
use crate::proxy::ProxySettings;
use bytes::Bytes;
use h2::Reason;
use http::Response;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

fn retries(attempts: u32) -> CallTraffic {
    CallTraffic {
        retry: Some(Retry {
            attempts,
            backoff_base: Duration::from_millis(1),
            backoff_max: Duration::from_millis(2),
            ..Retry::default()
        }),
        ..CallTraffic::default()
    }
}

fn in_turn(endpoints: &[SocketAddr], traffic: CallTraffic) -> Mesh {
    let backend = backend(
        endpoints,
        BackendTraffic {
            load_balancing: LoadBalancing {
                algorithm: Algorithm::RoundRobin,
                slow_start: None,
            },
            ..BackendTraffic::default()
        },
    );
    let rule = rule(&backend, traffic);
    Mesh::with(table(&backend, rule), ProxySettings::default())
}

#[tokio::test]
async fn a_failed_try_is_repeated_with_its_body() {
    // Trailers-only; and a head, held back, with the status in its trailers.
    for is_trailers_only in [true, false] {
        let endpoint = endpoint(move |mut served| async move {
            let previous = served
                .request
                .headers()
                .get("grpc-previous-rpc-attempts")
                .cloned();
            assert_eq!(served.body().await, message(b"apple"));
            if served.number == 0 {
                assert!(previous.is_none());
                if is_trailers_only {
                    served.fail("14");
                } else {
                    let mut sender = served.respond.send_response(grpc_head(), false).unwrap();
                    sender.send_trailers(status("14")).unwrap();
                }
            } else {
                assert_eq!(previous.unwrap(), "1");
                served.answer(b"added", "0");
            }
        })
        .await;
        let mesh = Mesh::new(&[endpoint], retries(2));
        let caller = mesh.caller().await;

        let answer = unary(&caller, request("/shop.Cart/Add"), b"apple")
            .await
            .unwrap();

        assert_eq!(answer.code(), "0");
        assert_eq!(answer.body, message(b"added"));
        mesh.is_quiet().await;
        let outcomes = mesh.outcomes();
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].attempts.len(), 2);
        assert_eq!(outcomes[0].retry, Some("success"));
    }
}

#[tokio::test]
async fn the_last_failure_reaches_the_caller_as_it_is() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        served.fail("14");
    })
    .await;
    let mesh = Mesh::new(&[endpoint], retries(2));
    let caller = mesh.caller().await;

    let answer = unary(&caller, request("/shop.Cart/Add"), b"apple")
        .await
        .unwrap();

    assert_eq!(answer.code(), "14");
    assert!(answer.mesh_error().is_none(), "it is the endpoint's own");
    mesh.is_quiet().await;
    let outcomes = mesh.outcomes();
    assert_eq!(outcomes[0].attempts.len(), 3);
    assert_eq!(outcomes[0].retry, Some("limit"));
}

#[tokio::test]
async fn a_refused_stream_goes_elsewhere_without_a_policy() {
    let refusing = endpoint(|mut served| async move {
        served.respond.send_reset(Reason::REFUSED_STREAM);
    })
    .await;
    let serving = endpoint(|mut served| async move {
        let body = served.body().await;
        served.answer(&body, "0");
    })
    .await;
    let mesh = in_turn(&[refusing, serving], CallTraffic::default());
    let caller = mesh.caller().await;
    for _ in 0..4 {
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
            .await
            .unwrap();
        assert_eq!(answer.code(), "0");
        assert_eq!(answer.body, message(&message(b"x")));
    }
}

#[tokio::test]
async fn who_takes_no_connection_is_passed_over() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = closed.local_addr().unwrap();
    drop(closed);
    let serving = endpoint(|mut served| async move {
        served.body().await;
        served.answer(b"ok", "0");
    })
    .await;
    let mesh = in_turn(&[dead, serving], CallTraffic::default());
    let caller = mesh.caller().await;
    for _ in 0..4 {
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
            .await
            .unwrap();
        assert_eq!(answer.code(), "0");
    }
}

#[tokio::test]
async fn streams_above_a_go_away_go_elsewhere() {
    // Takes one stream, says so, and leaves with the second one unread.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let leaving = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(socket).await.unwrap();
                let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
                connection.graceful_shutdown();
                let mut sender = respond.send_response(grpc_head(), false).unwrap();
                sender.send_data(message(b"ok"), false).unwrap();
                sender.send_trailers(status("0")).unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
            });
        }
    });
    let mesh = in_turn(&[leaving], CallTraffic::default());
    let caller = mesh.caller().await;
    for _ in 0..20 {
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
            .await
            .unwrap();
        assert_eq!(answer.code(), "0");
    }
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_followed_by_another() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        if served.number == 0 {
            std::future::pending::<()>().await;
        }
        served.answer(b"ok", "0");
    })
    .await;
    let traffic = CallTraffic {
        timeouts: Timeouts {
            backend_request: Some(Duration::from_millis(20)),
            ..Timeouts::default()
        },
        ..retries(4)
    };
    let mesh = Mesh::new(&[endpoint], traffic);
    let caller = mesh.caller().await;

    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();

    assert_eq!(answer.code(), "0");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_kept() {
    let endpoint = endpoint(|mut served| async move {
        served.body().await;
        served.fail("14");
    })
    .await;
    let mesh = Mesh::new(&[endpoint], retries(2));
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
    let body = message(&vec![0; 100 << 10]);
    sender.send_data(body, true).unwrap();

    assert_eq!(read(response).await.unwrap().code(), "14");
    mesh.is_quiet().await;
    let outcomes = mesh.outcomes();
    assert_eq!(outcomes[0].attempts.len(), 1);
    assert_eq!(outcomes[0].retry, Some("buffer"));
    assert_eq!(outcomes[0].request_bytes, (100 << 10) + 5);
}

#[tokio::test]
async fn a_held_head_is_released_by_data_and_by_time() {
    for has_data in [true, false] {
        let endpoint = endpoint(move |mut served| async move {
            served.body().await;
            let mut sender = served.respond.send_response(grpc_head(), false).unwrap();
            if has_data {
                sender.send_data(message(b"first"), false).unwrap();
            }
            std::future::pending::<()>().await;
        })
        .await;
        let mesh = Mesh::new(&[endpoint], retries(2));
        let caller = mesh.caller().await;
        let (response, mut sender) = open(&caller, request("/shop.Cart/List")).await;
        sender.send_data(message(b"x"), false).unwrap();
        sender.send_data(Bytes::new(), true).unwrap();

        let mut stream = response.await.unwrap().into_body();

        if has_data {
            assert_eq!(stream.data().await.unwrap().unwrap(), message(b"first"));
        }
    }
}

/// `retry` of an HTTPRoute with one code.
fn retries_of_http() -> CallTraffic {
    CallTraffic {
        retry: Some(Retry {
            attempts: 2,
            codes: CodeSet::default(),
            http_codes: Arc::from([503]),
            retries_cuts: true,
            backoff_base: Duration::from_millis(1),
            backoff_max: Duration::from_millis(2),
        }),
        ..CallTraffic::default()
    }
}

/// How the first try of a call fails.
#[derive(Clone, Copy, Debug)]
enum First {
    Reset(Reason),
    Grpc(&'static str),
    Http(u16),
}

#[tokio::test]
async fn a_grpc_call_through_an_http_route_is_tried_again_for_what_is_not_grpc() {
    for (first, tries, code) in [
        (First::Reset(Reason::INTERNAL_ERROR), 2, "0"),
        (First::Http(503), 2, "0"),
        (First::Http(502), 1, "none"),
        (First::Grpc("14"), 1, "14"),
    ] {
        let endpoint = endpoint(move |mut served| async move {
            served.body().await;
            match first {
                _ if served.number > 0 => served.answer(b"added", "0"),
                First::Reset(reason) => served.respond.send_reset(reason),
                First::Grpc(code) => served.fail(code),
                First::Http(status) => {
                    let head = Response::builder().status(status).body(()).unwrap();
                    served.respond.send_response(head, true).unwrap();
                }
            }
        })
        .await;
        let mesh = Mesh::new(&[endpoint], retries_of_http());
        let caller = mesh.caller().await;

        let answer = unary(&caller, request("/shop.Cart/Add"), b"apple")
            .await
            .unwrap();

        assert_eq!(answer.code(), code, "{first:?}");
        mesh.is_quiet().await;
        let outcome = mesh.outcomes().pop().unwrap();
        assert_eq!(outcome.attempts.len(), tries, "{first:?}");
    }
}
