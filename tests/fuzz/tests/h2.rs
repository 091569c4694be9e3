//! What `h2`, the implementation of HTTP/2 of most Rust programs, reads in an exchange is what the meter reads: the meter is
//! held against the oracle, and the oracle's reading against that of an `h2` server and of an `h2` client.

use std::fs;
use std::future::poll_fn;
use std::path::Path;
use std::task::Poll;

use h2::RecvStream;
use http::Request;
use mesh_common::meter::PREFACE;
use mesh_fuzz::{End, Exchange, Reading, Stream, StreamEnd, by_stream, check, comparable, fields};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// More than either direction of an exchange says.
const BUFFER_BYTES: usize = 1 << 20;

/// What the oracle, and with it the meter, has read.
fn agreed(is_client: bool, frames: &[u8], seed: u64) -> Reading {
    let (oracle, end) = check(is_client, frames, seed);
    assert_eq!(end, End::Whole);
    by_stream(&oracle)
}

/// Takes what has come of a body and what follows it.
async fn take(stream: &mut Stream, body: &mut RecvStream) {
    poll_fn(|context| {
        loop {
            match body.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => stream.body_bytes += data.len() as u64,
                Poll::Ready(Some(Err(error))) => {
                    let reason = error.reason().expect("a reset");
                    stream.end = StreamEnd::Reset(reason.into());
                    return Poll::Ready(());
                }
                Poll::Ready(None) => break,
                Poll::Pending => return Poll::Ready(()),
            }
        }
        stream.end = StreamEnd::Ended;
        if let Poll::Ready(Ok(Some(trailers))) = body.poll_trailers(context) {
            stream.blocks.push(comparable(fields(&trailers)));
        }
        Poll::Ready(())
    })
    .await;
}

/// What an `h2` server reads.
async fn read_by_server(exchange: &Exchange) -> Reading {
    let (mut peer, io) = duplex(BUFFER_BYTES);
    peer.write_all(&PREFACE).await.expect("the server reads");
    let written = peer.write_all(&exchange.requests).await;
    written.expect("the server reads");
    let mut connection = h2::server::handshake(io).await.expect("a client's preface");
    let mut accepted = Vec::new();
    loop {
        let next = connection.accept().await.expect("one more request");
        let (request, respond) = next.expect("a legal request");
        let stream = respond.stream_id().as_u32();
        accepted.push((request, respond));
        if stream == exchange.last_stream {
            break;
        }
    }
    let mut reading = Reading::new();
    for (request, respond) in &mut accepted {
        let mut head = fields(request.headers());
        let path = request.uri().path().as_bytes().to_vec();
        head.push((b":path".to_vec(), path));
        let method = request.method().as_str().as_bytes().to_vec();
        head.push((b":method".to_vec(), method));
        let mut stream = Stream {
            blocks: vec![comparable(head)],
            ..Stream::default()
        };
        take(&mut stream, request.body_mut()).await;
        reading.insert(respond.stream_id().as_u32(), stream);
    }
    reading
}

/// Reads what a client sends up to the head of a stream.
async fn await_headers(peer: &mut DuplexStream, wanted: u32) {
    let mut preface = PREFACE;
    let read = peer.read_exact(&mut preface).await;
    read.expect("the client's preface");
    loop {
        let mut head = [0; 9];
        let read = peer.read_exact(&mut head).await;
        read.expect("a frame of the client");
        let [a, b, c, kind, _, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; length as usize];
        let read = peer.read_exact(&mut payload).await;
        read.expect("the frame's payload");
        if kind == 1 && u32::from_be_bytes(stream) == wanted {
            return;
        }
    }
}

/// What an `h2` client reads that has made a request on every stream.
async fn read_by_client(exchange: &Exchange) -> Reading {
    let (mut peer, io) = duplex(BUFFER_BYTES);
    let (mut requests, connection) = h2::client::handshake(io).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    let mut responses = Vec::new();
    for _ in 0..=exchange.last_stream / 2 {
        requests = requests.ready().await.expect("room for a stream");
        let request = Request::post("http://load/").body(()).expect("a request");
        let (response, _) = requests.send_request(request, true).expect("a request");
        responses.push((response.stream_id().as_u32(), response));
    }
    // A client that has not sent a request yet takes its response for an error.
    await_headers(&mut peer, exchange.last_stream).await;
    let written = peer.write_all(&exchange.responses).await;
    written.expect("the client reads");
    // The last response is the last thing that is said.
    let (_, last) = responses.last_mut().expect("the last stream");
    let mut last = Some(last.await.expect("the last response"));
    let mut reading = Reading::new();
    for (id, response) in &mut responses {
        let mut stream = Stream::default();
        let head = if *id == exchange.last_stream {
            last.take().map(Ok)
        } else {
            poll_fn(|context| {
                Poll::Ready(match std::pin::Pin::new(&mut *response).poll(context) {
                    Poll::Ready(head) => Some(head),
                    Poll::Pending => None,
                })
            })
            .await
        };
        match head {
            Some(Ok(mut response)) => {
                let mut head = fields(response.headers());
                let status = response.status().as_str().as_bytes().to_vec();
                head.push((b":status".to_vec(), status));
                stream.blocks.push(comparable(head));
                take(&mut stream, response.body_mut()).await;
            }
            Some(Err(error)) => {
                stream.end = StreamEnd::Reset(error.reason().expect("a reset").into());
            }
            None => {}
        }
        reading.insert(*id, stream);
    }
    connection.abort();
    reading
}

/// Makes an exchange and compares what is read in it; gives both directions of its streams.
fn check_exchange(choices: &[u8]) -> Vec<Stream> {
    let exchange = Exchange::new(choices);
    let seed = choices.len() as u64;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without a driver");
    let requests = agreed(true, &exchange.requests, seed);
    assert_eq!(runtime.block_on(read_by_server(&exchange)), requests);
    let responses = agreed(false, &exchange.responses, seed);
    assert_eq!(runtime.block_on(read_by_client(&exchange)), responses);
    requests
        .into_values()
        .chain(responses.into_values())
        .collect()
}

#[test]
fn h2_reads_what_the_meter_reads_in_exchanges_made_of_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut streams = Vec::new();
    for target in ["calls", "stream"] {
        for entry in fs::read_dir(corpus.join(target)).expect("the corpus is in the repository") {
            let input = entry.expect("a directory can be listed").path();
            let choices = fs::read(&input).expect("an input can be read");
            // Most inputs are shorter than what an exchange has to choose.
            streams.extend(check_exchange(&choices.repeat(10)));
        }
    }
    let count = |wanted: fn(&Stream) -> bool| streams.iter().filter(|one| wanted(one)).count();
    let seen = [
        count(|stream| stream.end == StreamEnd::Open),
        count(|stream| matches!(stream.end, StreamEnd::Reset(_))),
        count(|stream| stream.body_bytes > 0),
        count(|stream| stream.blocks.len() > 1),
    ];
    assert!(seen.iter().all(|count| *count > 20), "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn h2_reads_what_the_meter_reads_in_any_exchange(choices in vec(any::<u8>(), 0..1_500)) {
        check_exchange(&choices);
    }
}
