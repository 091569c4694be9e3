//! What the proxy's HTTP/2 reads in a legal exchange, as a server and as a client.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;
use http::{HeaderMap, Method, Uri};
use mesh_common::meter::PREFACE;

use crate::exchange::Exchange;
use crate::oracle::{End, Oracle};
use crate::reading::{Reading, Stream, StreamEnd, by_stream, comparable, fields};
use mesh_agent::http2::{Connection, Cut, Head, Piece, WireLimits};

/// Makes an exchange, and checks that the proxy's ends of a connection read in it what the oracle does.
///
/// # Panics
/// When they do not.
pub fn check_proxied(choices: &[u8]) {
    let exchange = Exchange::new(choices);
    let piece_bytes = choices.len() % 97 + 1;
    let expected = |frames: &[u8]| {
        let (oracle, _, end) = Oracle::read(frames);
        assert_eq!(end, End::Whole);
        by_stream(&oracle)
    };
    let requests = expected(&exchange.requests);
    assert_eq!(read_by_server(&exchange, piece_bytes), requests);
    let responses = expected(&exchange.responses);
    assert_eq!(read_by_client(&exchange, piece_bytes), responses);
}

/// What is not about reading does not end the connection: an exchange may have PINGs in plenty.
fn limits() -> WireLimits {
    WireLimits {
        ping_strikes_max: u32::MAX,
        ..WireLimits::default()
    }
}

fn read_by_server(exchange: &Exchange, piece_bytes: usize) -> Reading {
    let mut connection = Connection::server(limits(), Instant::now());
    feed(&mut connection, &PREFACE, piece_bytes);
    feed(&mut connection, &exchange.requests, piece_bytes);
    let mut reading = Reading::new();
    // A client begins its streams in their order.
    for id in (1..).step_by(2) {
        let Some((place, head)) = connection.next_request() else {
            break;
        };
        let mut list = fields(&head.headers);
        let path = head.uri.path().as_bytes().to_vec();
        list.push((b":path".to_vec(), path));
        list.push((b":method".to_vec(), head.method.as_str().into()));
        let mut stream = Stream {
            blocks: vec![comparable(list)],
            ..Stream::default()
        };
        take(&mut connection, place, &mut stream);
        reading.insert(id, stream);
    }
    reading
}

fn read_by_client(exchange: &Exchange, piece_bytes: usize) -> Reading {
    let mut connection = Connection::client(limits(), Instant::now());
    let uri = Uri::from_static("http://load/");
    let head = Head {
        method: &Method::POST,
        uri: &uri,
        headers: &HeaderMap::new(),
        instead: &HeaderMap::new(),
    };
    let ids = (1..=exchange.last_stream).step_by(2);
    let opened: Vec<_> = ids
        .map(|id| (id, connection.open(&head, true).expect("a new connection")))
        .collect();
    feed(&mut connection, &exchange.responses, piece_bytes);
    let mut reading = Reading::new();
    let context = Context::from_waker(Waker::noop());
    for (id, place) in opened {
        let mut stream = Stream::default();
        match connection.poll_head(place, &context) {
            Poll::Ready(Ok(head)) => {
                let mut list = fields(&head.headers);
                list.push((b":status".to_vec(), head.status.as_str().into()));
                stream.blocks.push(comparable(list));
                take(&mut connection, place, &mut stream);
            }
            Poll::Ready(Err(cut)) => stream.end = end_of(cut),
            Poll::Pending => {}
        }
        reading.insert(id, stream);
    }
    reading
}

/// Gives a connection what its peer sends, in pieces.
fn feed(connection: &mut Connection, bytes: &[u8], piece_bytes: usize) {
    let mut input = BytesMut::new();
    for piece in bytes.chunks(piece_bytes) {
        input.extend_from_slice(piece);
        connection.receive(&mut input, Instant::now());
    }
    assert!(input.is_empty(), "an exchange is whole frames");
}

/// Takes what has come of a body and what follows it.
fn take(connection: &mut Connection, place: usize, stream: &mut Stream) {
    let context = Context::from_waker(Waker::noop());
    while let Poll::Ready(piece) = connection.poll_piece(place, &context) {
        match piece {
            Ok(Piece::Data(data)) => {
                stream.body_bytes += data.len() as u64;
                connection.release(place, data.len());
                continue;
            }
            Ok(Piece::Trailers(trailers)) => {
                stream.blocks.push(comparable(fields(&trailers)));
                stream.end = StreamEnd::Ended;
            }
            Ok(Piece::End) => stream.end = StreamEnd::Ended,
            Err(cut) => stream.end = end_of(cut),
        }
        return;
    }
}

fn end_of(cut: Cut) -> StreamEnd {
    match cut {
        Cut::Reset(code) => StreamEnd::Reset(code.0),
        Cut::Faulty(_) | Cut::Unsent | Cut::Unprocessed | Cut::Lost => {
            panic!("{cut:?} in a legal exchange")
        }
    }
}
