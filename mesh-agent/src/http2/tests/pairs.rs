//! A client and a server with a wire between them that cuts bytes anywhere.

use super::super::{Connection, Cut, Head, Piece, WireLimits};
use super::{context, sent};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, Uri};
use proptest::prelude::*;
use std::task::Poll;
use std::time::Instant;

/// Small windows, so that everybody has to wait.
fn limits() -> WireLimits {
    WireLimits {
        stream_window_bytes: 20_000,
        caller_window_bytes: 70_000,
        endpoint_window_bytes: 70_000,
        send_buffer_bytes_max: 30_000,
        ..WireLimits::default()
    }
}

/// One half of a call: what it sends, and what has come.
#[derive(Debug, Default)]
struct Side {
    place: usize,
    left: Bytes,
    has_ended: bool,
    received: Vec<u8>,
    is_over: bool,
}

impl Side {
    fn send(&mut self, on: &mut Connection, trailers: Option<HeaderMap>) {
        while !self.left.is_empty() {
            let is_last = trailers.is_none();
            match on.poll_send(self.place, &context(), &mut self.left, is_last) {
                Poll::Ready(sent) => {
                    sent.unwrap();
                    self.has_ended = is_last && self.left.is_empty();
                }
                Poll::Pending => return,
            }
        }
        if !self.has_ended {
            self.has_ended = true;
            on.finish_stream(self.place, trailers).unwrap();
        }
    }

    fn receive(&mut self, on: &mut Connection) {
        while !self.is_over {
            match on.poll_piece(self.place, &context()) {
                Poll::Ready(Ok(Piece::Data(data))) => {
                    self.received.extend_from_slice(&data);
                    on.release(self.place, data.len());
                }
                Poll::Ready(Ok(Piece::End)) => self.is_over = true,
                Poll::Ready(Ok(Piece::Trailers(trailers))) => {
                    assert_eq!(trailers["grpc-status"], "0");
                    self.is_over = true;
                }
                Poll::Ready(Err(cut)) => panic!("{cut:?}"),
                Poll::Pending => return,
            }
        }
    }
}

fn content(length: usize, seed: u8) -> Bytes {
    (0..length)
        .map(|at| u8::try_from((at * 7 + usize::from(seed)) % 251).unwrap())
        .collect()
}

fn pass(from: &mut Connection, to: &mut Connection, input: &mut BytesMut, most: usize) -> bool {
    let bytes = sent(from, most);
    input.extend_from_slice(&bytes);
    to.receive(input, Instant::now());
    !bytes.is_empty()
}

proptest! {
    #[test]
    fn calls_arrive_whole_whatever_their_size_and_however_the_wire_cuts(
        calls in prop::collection::vec((0_usize..90_000, 0_usize..90_000, any::<bool>()), 1..6),
        cut in 1_usize..40_000,
    ) {
        let mut client = Connection::client(limits(), Instant::now());
        let mut server = Connection::server(limits(), Instant::now());
        let (mut to_client, mut to_server) = (BytesMut::new(), BytesMut::new());
        let uri = Uri::from_static("http://cart.shop/shop.Cart/Add");
        let headers = HeaderMap::from_iter([("x".parse().unwrap(), "y".parse().unwrap())]);
        let none = HeaderMap::new();
        let head = Head { method: &Method::POST, uri: &uri, headers: &headers, instead: &none };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let mut callers: Vec<Side> = calls.iter().enumerate().map(|(number, (bytes, ..))| Side {
            place: client.open(&head, false).unwrap(),
            left: content(*bytes, u8::try_from(number).unwrap()),
            ..Side::default()
        }).collect();
        let mut answers = vec![false; calls.len()];
        let mut servers: Vec<Side> = vec![];
        // Each round moves at least one byte, or it is stuck.
        for _ in 0..200_000 {
            let mut is_moving = pass(&mut client, &mut server, &mut to_server, cut);
            is_moving |= pass(&mut server, &mut client, &mut to_client, cut);
            while let Some((place, head)) = server.next_request() {
                prop_assert_eq!(&head.uri, &uri);
                prop_assert_eq!(&head.headers, &headers);
                let number = servers.len();
                let left = content(calls[number].1, 100 + u8::try_from(number).unwrap());
                server.respond(place, &Response::new(()).into_parts().0, false).unwrap();
                servers.push(Side { place, left, ..Side::default() });
            }
            for (number, side) in callers.iter_mut().enumerate() {
                side.send(&mut client, None);
                if !answers[number] {
                    answers[number] = client.poll_head(side.place, &context()).is_ready();
                }
                if answers[number] {
                    side.receive(&mut client);
                }
            }
            for (number, side) in servers.iter_mut().enumerate() {
                side.receive(&mut server);
                side.send(&mut server, calls[number].2.then(|| trailers.clone()));
            }
            let is_done = callers.iter().chain(&servers).all(|side| side.is_over && side.has_ended);
            if is_done && !is_moving {
                break;
            }
        }
        for (number, (asked, answered, _)) in calls.iter().enumerate() {
            prop_assert_eq!(&servers[number].received[..], &content(*asked, u8::try_from(number).unwrap())[..]);
            prop_assert_eq!(&callers[number].received[..], &content(*answered, 100 + u8::try_from(number).unwrap())[..]);
        }
        prop_assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
        client.abandon();
        prop_assert!(client.is_finished());
    }
}

/// Opens a stream with a request that has no headers and no body; its place.
fn ask(client: &mut Connection) -> usize {
    let none = HeaderMap::new();
    let head = Head {
        method: &Method::POST,
        uri: &Uri::from_static("http://cart.shop/"),
        headers: &none,
        instead: &none,
    };
    client.open(&head, true).unwrap()
}

#[test]
fn what_a_lost_connection_is_for_a_stream_depends_on_how_far_it_came() {
    let mut client = Connection::client(WireLimits::default(), Instant::now());
    let places: Vec<usize> = (0..2).map(|_| ask(&mut client)).collect();
    sent(&mut client, usize::MAX);
    let unsent = ask(&mut client);
    let settings = super::frame(super::kind::SETTINGS, 0, 0, &[]);
    let go_away = super::frame(super::kind::GO_AWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    super::receive(&mut client, &[settings, go_away].concat());
    client.lost();

    let mut cut = |place| match client.poll_head(place, &context()) {
        Poll::Ready(Err(cut)) => cut,
        other @ (Poll::Ready(Ok(_)) | Poll::Pending) => panic!("{other:?}"),
    };
    assert_eq!(cut(places[0]), Cut::Lost);
    assert_eq!(cut(places[1]), Cut::Unprocessed);
    assert_eq!(cut(unsent), Cut::Unprocessed, "the peer has said so first");
}

#[test]
fn a_short_answer_is_sent_when_there_is_room_though_nobody_holds_its_stream() {
    let mut server = super::server();
    // A window of one byte.
    super::receive(
        &mut server,
        &super::frame(super::kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]),
    );
    super::receive(&mut server, &super::request(1, super::flag::END_STREAM));
    let (place, _) = server.next_request().unwrap();
    server
        .respond(place, &Response::new(()).into_parts().0, false)
        .unwrap();
    server.send_whole(place, b"four", true).unwrap();
    server.release_stream(place);
    server.release_stream(place);
    let bodies = |bytes: &[u8]| -> Vec<u8> {
        let frames = super::frames(bytes).into_iter();
        let data = frames.filter(|(head, _)| head.kind == super::kind::DATA);
        data.flat_map(|(_, payload)| payload).collect()
    };
    assert_eq!(bodies(&sent(&mut server, usize::MAX)), b"f");
    assert_eq!(server.open_streams(), 1);

    super::receive(
        &mut server,
        &super::frame(super::kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]),
    );
    assert_eq!(bodies(&sent(&mut server, usize::MAX)), b"our");
    assert_eq!(server.open_streams(), 0);
}

#[test]
fn many_resets_are_sent_as_fast_as_the_server_is_known_to_follow() {
    let mut client = Connection::client(WireLimits::default(), Instant::now());
    let acknowledged = super::frame(super::kind::SETTINGS, super::flag::ACK, 0, &[]);
    let settings = super::frame(super::kind::SETTINGS, 0, 0, &[]);
    super::receive(&mut client, &[&settings[..], &acknowledged].concat());
    sent(&mut client, usize::MAX);
    for _ in 0..100 {
        let place = ask(&mut client);
        client.reset(place, super::super::ErrorCode::CANCEL);
        client.release_stream(place);
        client.release_stream(place);
    }
    let resets = |client: &mut Connection| {
        let frames = super::frames(&sent(client, usize::MAX));
        let resets = frames
            .iter()
            .filter(|(head, _)| head.kind == super::kind::RST_STREAM);
        resets.count()
    };
    let mut all = vec![resets(&mut client)];
    while all.last().is_some_and(|count| *count > 0) {
        super::receive(&mut client, &acknowledged);
        all.push(resets(&mut client));
    }
    assert!(all.iter().all(|count| *count <= 8), "{all:?}");
    assert_eq!(all.iter().sum::<usize>(), 100, "{all:?}");
    assert_eq!(client.open_streams(), 0);
}
