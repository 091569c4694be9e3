//! What passes through unharmed.

use super::support::*;
use crate::model::CallTraffic;
use crate::observe::CallOutcome;
use bytes::Bytes;
use mesh_common::meter::StatusCode;
use std::time::Duration;

#[tokio::test]
async fn a_unary_call_passes_with_its_headers_and_trailers() {
    let endpoint = endpoint(|mut served| async move {
        let seen = served.request.headers().clone();
        assert_eq!(served.request.uri().path(), "/shop.Cart/Add");
        assert_eq!(served.request.uri().authority().unwrap(), "cart.shop");
        assert_eq!(seen["x-unknown-bin"], "AAEC");
        assert_eq!(seen["te"], "trailers");
        assert!(!seen.contains_key("grpc-timeout"));
        assert_eq!(served.body().await, message(b"one apple"));
        let mut head = grpc_head();
        head.headers_mut().append("x-twice", "1".parse().unwrap());
        head.headers_mut().append("x-twice", "2".parse().unwrap());
        let mut sender = served.respond.send_response(head, false).unwrap();
        sender.send_data(message(b"added"), false).unwrap();
        let mut trailers = status("0");
        trailers.insert("x-cost", "7".parse().unwrap());
        sender.send_trailers(trailers).unwrap();
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let mut head = request("/shop.Cart/Add");
    head.headers_mut()
        .insert("x-unknown-bin", "AAEC".parse().unwrap());

    let answer = unary(&caller, head, b"one apple").await.unwrap();

    assert_eq!(answer.head.status, 200);
    assert_eq!(answer.body, message(b"added"));
    assert_eq!(answer.code(), "0");
    assert_eq!(answer.trailers["x-cost"], "7");
    let twice: Vec<_> = answer.head.headers.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["1", "2"]);
    assert!(answer.mesh_error().is_none());
    mesh.is_quiet().await;
    let outcomes = mesh.outcomes();
    let [outcome]: [CallOutcome; 1] = outcomes.try_into().unwrap();
    assert_eq!(outcome.status, StatusCode::Ok);
    assert_eq!(outcome.path.unwrap(), "/shop.Cart/Add");
    assert_eq!(
        (outcome.request_messages, outcome.response_messages),
        (1, 1)
    );
    assert_eq!((outcome.request_bytes, outcome.response_bytes), (14, 10));
    assert_eq!(outcome.attempts.len(), 1);
    assert_eq!(outcome.attempts[0].endpoint, endpoint);
    assert!(outcome.attempts[0].is_answered);
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let endpoint = endpoint(|mut served| async move {
        let mut sender = served.respond.send_response(grpc_head(), false).unwrap();
        while let Some(data) = served.request.body_mut().data().await {
            sender.send_data(data.unwrap(), false).unwrap();
        }
        sender.send_trailers(status("0")).unwrap();
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Chat")).await;

    let mut stream = response.await.unwrap().into_body();
    for round in 0..10_u8 {
        let said = message(&[round]);
        sender.send_data(said.clone(), false).unwrap();
        assert_eq!(stream.data().await.unwrap().unwrap(), said);
    }
    sender.send_data(Bytes::new(), true).unwrap();
    assert!(stream.data().await.is_none());
    assert_eq!(
        stream.trailers().await.unwrap().unwrap()["grpc-status"],
        "0"
    );
    mesh.is_quiet().await;
    assert_eq!(mesh.outcomes()[0].request_messages, 10);
}

#[tokio::test]
async fn heads_pass_at_once_though_nothing_follows() {
    let endpoint = endpoint(|mut served| async move {
        let _sender = served.respond.send_response(grpc_head(), false).unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, _sender) = open(&caller, request("/shop.Cart/Watch")).await;
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test]
async fn streams_that_a_connection_has_no_room_for_find_it_on_others() {
    const CALLS: usize = 250;
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(25);
    let all_there = std::sync::Arc::new(tokio::sync::Barrier::new(CALLS));
    let endpoint = endpoint_with(builder, move |mut served| {
        let all_there = std::sync::Arc::clone(&all_there);
        async move {
            let waited = tokio::time::timeout(Duration::from_secs(20), all_there.wait()).await;
            let status = if waited.is_ok() { "0" } else { "4" };
            served.answer(b"ok", status);
        }
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let calls = (0..CALLS).map(|_| unary(&caller, request("/shop.Cart/Add"), b"x"));

    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap().code(), "0");
    }
    let name = crate::model::ObjectName::new("shop", "cart");
    let destination = mesh.shared.destinations.get(&name, 80, false).unwrap();
    assert!(destination.client.figures.active() >= 10);
    assert!(destination.client.figures.opened() <= 20);
}

#[tokio::test]
async fn a_caller_that_does_not_read_stops_the_endpoint() {
    let (sent, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let endpoint = endpoint(move |mut served| {
        let sent = sent.clone();
        async move {
            let mut sender = served.respond.send_response(grpc_head(), false).unwrap();
            // Far more than the windows and buffers of both connections hold.
            for _ in 0..400 {
                sender.reserve_capacity(16 << 10);
                let wait = std::future::poll_fn(|cx| sender.poll_capacity(cx));
                let Some(Ok(_)) = wait.await else {
                    return;
                };
                let room = sender.capacity();
                sender.send_data(vec![0; room].into(), false).unwrap();
                sent.send(room).unwrap();
            }
        }
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, _sender) = open(&caller, request("/shop.Cart/List")).await;
    let _unread = response.await.unwrap();

    let mut total = 0;
    // It stops: nothing more comes for a long while of a clock that only moves when nothing else does.
    tokio::time::pause();
    while let Ok(Some(bytes)) = tokio::time::timeout(Duration::from_secs(100), seen.recv()).await {
        total += bytes;
    }
    assert!(
        total <= 1 << 20,
        "{total} bytes were taken off the endpoint"
    );
    // The other streams of the same connections go on.
    tokio::time::resume();
    assert!(total >= 64 << 10);
}

#[tokio::test]
async fn what_is_not_grpc_passes_too() {
    let endpoint = endpoint(|mut served| async move {
        assert_eq!(
            served.request.uri().path_and_query().unwrap(),
            "/items?page=2"
        );
        assert!(served.request.body().is_end_stream());
        let head = http::Response::builder().status(201).body(()).unwrap();
        let mut sender = served.respond.send_response(head, false).unwrap();
        sender.send_data("created".into(), true).unwrap();
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let head = http::Request::get("http://cart.shop/items?page=2").body(());
    let mut caller = caller.ready().await.unwrap();
    let (response, _) = caller.send_request(head.unwrap(), true).unwrap();

    let answer = read(response).await.unwrap();

    assert_eq!(answer.head.status, 201);
    assert_eq!(answer.body, b"created");
}

#[tokio::test]
async fn a_stream_of_many_small_messages_waits_for_an_endpoint_that_does_not_read() {
    let (release, released) = tokio::sync::watch::channel(false);
    let endpoint = endpoint(move |mut served| {
        let mut released = released.clone();
        async move {
            released.wait_for(|now| *now).await.unwrap();
            let body = served.body().await;
            served.answer(&u32::try_from(body.len()).unwrap().to_be_bytes(), "0");
        }
    })
    .await;
    let mesh = Mesh::new(&[endpoint], CallTraffic::default());
    let caller = mesh.caller().await;
    let (response, mut sender) = open(&caller, request("/shop.Cart/Log")).await;
    let small = message(b"line");
    // More frames than `h2` keeps by default, of less than the windows hold.
    for _ in 0..20_000 {
        sender.send_data(small.clone(), false).unwrap();
    }
    sender.send_data(Bytes::new(), true).unwrap();
    // Another call on the same connections is not held up.
    release.send(true).unwrap();

    let answer = read(response).await.unwrap();

    assert_eq!(answer.code(), "0");
    assert_eq!(answer.body, message(&180_000_u32.to_be_bytes()));
}

#[tokio::test]
async fn a_copy_goes_to_the_mirror_and_its_answer_nowhere() {
    let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let copied = endpoint(move |mut served| {
        let told = told.clone();
        async move {
            told.send(served.body().await).unwrap();
            served.fail("13");
        }
    })
    .await;
    let serving = endpoint(|mut served| async move {
        served.body().await;
        served.answer(b"ok", "0");
    })
    .await;
    let to = backend(&[serving], Default::default());
    let mut mirrored = (*backend(&[copied], Default::default())).clone();
    mirrored.name = crate::model::ObjectName::new("shop", "copy");
    let mut rule = rule(&to, CallTraffic::default());
    rule.mirrors = Box::new([crate::route::Mirror {
        to: Ok(std::sync::Arc::new(mirrored)),
        numerator: 1,
        denominator: 1,
    }]);
    let mesh = Mesh::with(table(&to, rule), Default::default());
    let caller = mesh.caller().await;

    let answer = unary(&caller, request("/shop.Cart/Add"), b"x")
        .await
        .unwrap();

    assert_eq!(answer.code(), "0");
    assert_eq!(seen.recv().await.unwrap(), message(b"x"));
    mesh.is_quiet().await;
    assert_eq!(mesh.outcomes().len(), 1);
}
