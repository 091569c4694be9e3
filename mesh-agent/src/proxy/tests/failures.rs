//! What callers get when something fails, and what endpoints see of it.

use super::support::*;
use crate::model::{CallTraffic, ObjectName, Timeouts};
use crate::observe::LocalReply;
use crate::proxy::Caller;
use crate::route::RouteTable;
use bytes::Bytes;
use h2::Reason;
use mesh_common::meter::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;

/// How a unary call ends whose endpoint does `act` before it answers.
async fn ends_with(reason: Reason) -> (String, Option<String>) {
    let endpoint = endpoint(move |mut served| async move {
        served.body().await;
        served.respond.send_reset(reason);
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();
    let error = answer.mesh_error().map(str::to_owned);
    (answer.code().to_owned(), error)
}

#[tokio::test]
async fn resets_before_the_head_become_statuses() {
    for (reason, code) in [
        (Reason::REFUSED_STREAM, "14"),
        (Reason::CANCEL, "1"),
        (Reason::ENHANCE_YOUR_CALM, "8"),
        (Reason::INADEQUATE_SECURITY, "7"),
        (Reason::INTERNAL_ERROR, "13"),
        (Reason::PROTOCOL_ERROR, "13"),
    ] {
        let (seen, error) = ends_with(reason).await;
        assert_eq!(seen, code, "{reason}");
        assert_eq!(error.as_deref(), Some("upstream_reset"));
    }
}

#[tokio::test]
async fn a_reset_after_the_head_is_passed_on_with_its_code() {
    let endpoint = endpoint(|mut served| async move {
        let mut sender = served.respond.send_response(grpc_head(), false).unwrap();
        sender.send_data(message(b"half"), false).unwrap();
        // Only once the caller has the head.
        served.body().await;
        sender.send_reset(Reason::ENHANCE_YOUR_CALM);
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/List")).await;
    let mut stream = response.await.unwrap().into_body();
    assert_eq!(stream.data().await.unwrap().unwrap(), message(b"half"));
    sender.send_data(Bytes::new(), true).unwrap();

    let error = stream.data().await.unwrap().unwrap_err();

    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn a_connection_lost_after_the_head_becomes_trailers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let (mut request, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut sender = respond.send_response(grpc_head(), false).unwrap();
        sender.send_data(message(b"half"), false).unwrap();
        // Until the caller has ended the request; then the process is gone.
        tokio::select! {
            _ = async { while request.body_mut().data().await.is_some() {} } => {}
            _ = connection.accept() => {}
        }
    });
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/List")).await;
    let mut stream = response.await.unwrap().into_body();
    assert_eq!(stream.data().await.unwrap().unwrap(), message(b"half"));
    sender.send_data(Bytes::new(), true).unwrap();

    assert!(stream.data().await.is_none());
    let trailers = stream.trailers().await.unwrap().unwrap();

    assert_eq!(trailers["grpc-status"], "14");
    assert_eq!(trailers["mesh-error"], "connection_lost");
}

#[tokio::test]
async fn the_caller_s_reset_reaches_the_endpoint_as_cancel() {
    let (told, mut seen) = unbounded_channel();
    let endpoint = endpoint(move |mut served| {
        let told = told.clone();
        async move {
            told.send(None).unwrap();
            let reason = std::future::poll_fn(|cx| served.respond.poll_reset(cx)).await;
            told.send(reason.ok()).unwrap();
        }
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Add")).await;
    seen.recv().await.unwrap();

    sender.send_reset(Reason::INTERNAL_ERROR);
    drop(response);

    assert_eq!(seen.recv().await.unwrap(), Some(Reason::CANCEL));
    mesh.is_quiet().await;
    assert_eq!(mesh.outcomes()[0].status, StatusCode::Cancelled);
}

#[tokio::test]
async fn a_caller_that_vanishes_cancels_everything_it_had_under_way() {
    let (told, mut seen) = unbounded_channel();
    let endpoint = endpoint(move |mut served| {
        let told = told.clone();
        async move {
            told.send(None).unwrap();
            let reason = std::future::poll_fn(|cx| served.respond.poll_reset(cx)).await;
            told.send(reason.ok()).unwrap();
        }
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let (caller, connection) = h2::client::handshake(mesh.socket().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let _open = open(&caller, request("/shop.Cart/Add")).await;
    seen.recv().await.unwrap();

    connection.abort();

    assert_eq!(seen.recv().await.unwrap(), Some(Reason::CANCEL));
    mesh.is_quiet().await;
    assert_eq!(mesh.outcomes()[0].status, StatusCode::Cancelled);
}

#[tokio::test]
async fn local_answers_say_why() {
    let backend = backend(&[], Default::default());
    let mut unresolved = rule(&backend, CallTraffic::default());
    unresolved.backends[0].to = Err("no Service shop/nowhere".into());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = closed.local_addr().unwrap();
    drop(closed);
    let no_rule = || {
        let mut port = (**table(&backend, rule(&backend, CallTraffic::default()))
            .port(REQUESTED)
            .unwrap())
        .clone();
        port.producer = crate::route::RuleSet::new(vec![]);
        RouteTable::new([(REQUESTED, Arc::new(port))].into())
    };
    for (table, code, http, reason) in [
        (
            table(&backend, rule(&backend, CallTraffic::default())),
            "14",
            503,
            LocalReply::NoEndpoint,
        ),
        (
            table(&backend, unresolved),
            "14",
            500,
            LocalReply::NoBackend,
        ),
        (no_rule(), "12", 404, LocalReply::NoRoute),
        (
            {
                let backend = super::support::backend(&[dead], Default::default());
                table(&backend, rule(&backend, CallTraffic::default()))
            },
            "14",
            503,
            LocalReply::ConnectFailure,
        ),
    ] {
        let mesh = Mesh::with(table, Default::default());
        let caller = mesh.caller().await;
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
            .await
            .unwrap();
        assert_eq!(answer.code(), code, "{reason:?}");
        assert_eq!(answer.mesh_error(), Some(reason.as_str()));

        let mut plain = request("/shop.Cart/Add");
        plain.headers_mut().remove("content-type");
        let answer = unary(&caller, plain, b"x").await.unwrap();
        assert_eq!(answer.head.status, http, "{reason:?}");
        assert_eq!(answer.mesh_error(), Some(reason.as_str()));
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test]
async fn deadlines_are_sent_on_and_kept() {
    let (told, mut seen) = unbounded_channel();
    let endpoint = endpoint(move |mut served| {
        let told = told.clone();
        async move {
            let timeout = served.request.headers().get("grpc-timeout").cloned();
            told.send((timeout, None)).unwrap();
            let reason = std::future::poll_fn(|cx| served.respond.poll_reset(cx)).await;
            told.send((None, reason.ok())).unwrap();
        }
    })
    .await;
    for (own, timeouts, kind) in [
        (Some("2S"), Timeouts::default(), "caller"),
        (
            None,
            Timeouts {
                request: Some(Duration::from_secs(3)),
                ..Timeouts::default()
            },
            "request",
        ),
        (
            Some("10S"),
            Timeouts {
                backend_request: Some(Duration::from_secs(3)),
                ..Timeouts::default()
            },
            "backendRequest",
        ),
    ] {
        let traffic = CallTraffic {
            timeouts,
            ..CallTraffic::default()
        };
        let mesh = Mesh::new(&[endpoint], traffic);
        let caller = mesh.caller().await;
        let mut head = request("/shop.Cart/Add");
        if let Some(own) = own {
            head.headers_mut()
                .insert("grpc-timeout", own.parse().unwrap());
        }
        let (response, mut sender) = open(&caller, head).await;
        sender.send_data(message(b"x"), true).unwrap();
        let (sent, _) = seen.recv().await.unwrap();
        let sent = crate::grpc::parse_timeout(sent.unwrap().as_bytes()).unwrap();
        assert!(
            sent > Duration::from_secs(1) && sent <= Duration::from_secs(3),
            "{kind}"
        );

        // Nothing is left to do but to wait, so the clock jumps to the end of it.
        tokio::time::pause();
        let answer = read(response).await.unwrap();
        let (_, reason) = seen.recv().await.unwrap();
        tokio::time::resume();

        assert_eq!(answer.code(), "4", "{kind}");
        assert_eq!(answer.mesh_error(), Some("timeout"));
        assert_eq!(reason, Some(Reason::CANCEL), "{kind}");
    }
}

#[tokio::test]
async fn two_thousand_random_cancels_leave_nothing_behind() {
    let endpoint = endpoint(|mut served| async move {
        if fastrand::bool() {
            served.body().await;
        }
        if fastrand::bool()
            && let Ok(mut sender) = served.respond.send_response(grpc_head(), false)
        {
            for _ in 0..3 {
                // A caller may have left at any point.
                if sender.send_data(message(b"part"), false).is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            sender.send_trailers(status("0")).ok();
        }
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    for _ in 0..40 {
        let calls = (0..50).map(|_| async {
            let steps = fastrand::usize(..20);
            let call = unary(&caller, request("/shop.Cart/Add"), b"x");
            tokio::select! {
                biased;
                () = async { for _ in 0..steps { tokio::task::yield_now().await } } => {}
                // However it ends.
                _ = call => {}
            }
        });
        futures_util::future::join_all(calls).await;
        // However it ends: by then the proxy has seen those before it. Too many that are reset unseen would be a flood.
        let _seen = unary(&caller, request("/shop.Cart/Add"), b"x").await;
    }
    drop(caller);

    mesh.is_quiet().await;
    while mesh.shared.figures.sessions() > 0 {
        tokio::task::yield_now().await;
    }
    let name = ObjectName::new("shop", "cart");
    let destination = mesh.shared.destinations.get(&name, 80, false).unwrap();
    let now = crate::proxy::clock::now();
    for endpoint in destination.balancer.view(now) {
        assert_eq!((endpoint.pending, endpoint.streams), (0, 0));
    }
    for resource in [
        crate::resilience::Resource::Request,
        crate::resilience::Resource::Pending,
    ] {
        assert_eq!(destination.client.breaker.used(resource), 0);
    }
    // What is not named any more goes with its last stream.
    mesh.shared.follow(Arc::default());
    drop(destination);
    mesh.proxy.routes_changed();
    while mesh.proxy.pool().entries() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(mesh.shared.destinations.get(&name, 80, false).is_none());
}

#[tokio::test]
async fn connections_that_were_lost_under_their_calls_leave_nothing_in_the_pool() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let _asked = connection.accept().await;
            drop(connection);
        }
    });
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    for netns in 0..100 {
        let caller = Caller {
            netns,
            ..Caller::default()
        };
        let caller = mesh.connect(caller).await;
        let answer = unary(&caller, request("/shop.Cart/Add"), b"x").await;
        assert_eq!(answer.unwrap().code(), "14");
    }
    mesh.is_quiet().await;
    assert!(mesh.proxy.pool().entries() < 10);
}
