//! What a server says to frames: the rules of RFC 9113, a row each.

use super::super::frame::{flag, kind, setting};
use super::super::{Connection, Cut, ErrorCode, WireLimits};
use super::{POST, block, context, frame, frames, receive, request, sent, server};
use http::Response;
use std::task::Poll;
use std::time::Instant;

/// What a server is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Nothing that ends anything.
    Nothing,
    /// RST_STREAM of stream 1 with this code.
    Reset(u32),
    /// GOAWAY with this code.
    GoAway(u32),
}

fn said(bytes: &[u8]) -> Said {
    let (mut connection, _) = (server(), ());
    receive(&mut connection, bytes);
    let answer = sent(&mut connection, usize::MAX);
    let mut said = Said::Nothing;
    for (head, payload) in frames(&answer) {
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head.kind {
            kind::GO_AWAY => return Said::GoAway(number(4)),
            kind::RST_STREAM => said = Said::Reset(number(0)),
            _ => {}
        }
    }
    said
}

fn settings(name: u16, value: u32) -> Vec<u8> {
    let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &payload)
}

fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(
        kind::HEADERS,
        flag::END_HEADERS | flag::END_STREAM,
        1,
        &block(fields),
    )
}

fn with(more: &[(&'static str, &'static str)]) -> Vec<u8> {
    head(&[POST, more].concat())
}

#[test]
#[rustfmt::skip] // a row each
fn frames_that_break_rules_are_answered_as_the_rules_say() {
    let open = request(1, 0);
    let ended = request(1, flag::END_STREAM);
    let one = 1_u32.to_be_bytes();
    let rows: Vec<(&str, Vec<u8>, Said)> = vec![
        ("DATA on stream 0", frame(kind::DATA, 0, 0, b"x"), Said::GoAway(1)),
        ("DATA on an idle stream", frame(kind::DATA, 0, 1, b"x"), Said::GoAway(1)),
        ("DATA after the end", [&ended[..], &frame(kind::DATA, 0, 1, b"x")].concat(), Said::GoAway(5)),
        ("DATA after a reset", [&open[..], &frame(kind::RST_STREAM, 0, 1, &[0; 4]), &frame(kind::DATA, 0, 1, b"x")].concat(), Said::GoAway(5)),
        ("HEADERS after a reset", [&open[..], &frame(kind::RST_STREAM, 0, 1, &[0; 4]), &ended].concat(), Said::GoAway(5)),
        ("padding as long as the payload", [&open[..], &frame(kind::DATA, flag::PADDED, 1, &[1])].concat(), Said::GoAway(1)),
        ("HEADERS on stream 0", frame(kind::HEADERS, flag::END_HEADERS, 0, &block(POST)), Said::GoAway(1)),
        ("HEADERS on an even stream", request(2, 0), Said::GoAway(1)),
        ("a lower stream", [&request(3, 0)[..], &request(1, 0)].concat(), Said::GoAway(5)),
        ("HEADERS after the end", [&ended[..], &ended].concat(), Said::GoAway(5)),
        ("trailers without the end", [&open[..], &frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&[("a", "b")]))].concat(), Said::Reset(1)),
        ("a pseudo-header in trailers", [&open[..], &head(&[(":path", "/")])].concat(), Said::Reset(1)),
        ("a block that goes on elsewhere", [&frame(kind::HEADERS, 0, 1, &block(POST))[..], &frame(kind::CONTINUATION, flag::END_HEADERS, 3, b"")].concat(), Said::GoAway(1)),
        ("DATA within a block", [&frame(kind::HEADERS, 0, 1, &block(POST))[..], &frame(kind::DATA, 0, 1, b"")].concat(), Said::GoAway(1)),
        ("CONTINUATION without a block", frame(kind::CONTINUATION, flag::END_HEADERS, 1, b""), Said::GoAway(1)),
        ("a block that cannot be decoded", frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x80]), Said::GoAway(9)),
        ("a stream that depends on itself", frame(kind::HEADERS, flag::END_HEADERS | flag::PRIORITY, 1, &[&one[..], &[0], &block(POST)].concat()), Said::Reset(1)),
        ("an uppercase name", with(&[("X", "y")]), Said::Reset(1)),
        ("connection", with(&[("connection", "close")]), Said::Reset(1)),
        ("te", with(&[("te", "gzip")]), Said::Reset(1)),
        ("te: trailers", with(&[("te", "trailers")]), Said::Nothing),
        ("an unknown pseudo-header", with(&[(":x", "y")]), Said::Reset(1)),
        (":status in a request", with(&[(":status", "200")]), Said::Reset(1)),
        (":path twice", with(&[(":path", "/")]), Said::Reset(1)),
        ("no :path", head(&POST[..3]), Said::Reset(1)),
        ("a pseudo-header behind a header", head(&[POST[0], POST[1], ("a", "b"), POST[3]]), Said::Reset(1)),
        ("a length without a body", with(&[("content-length", "1")]), Said::Reset(1)),
        ("less body than its length", [&frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&[POST, &[("content-length", "2")]].concat()))[..], &frame(kind::DATA, flag::END_STREAM, 1, b"x")].concat(), Said::Reset(1)),
        ("PRIORITY of 4 bytes", frame(kind::PRIORITY, 0, 1, &[0; 4]), Said::GoAway(6)),
        ("RST_STREAM on an idle stream", frame(kind::RST_STREAM, 0, 1, &[0; 4]), Said::GoAway(1)),
        ("RST_STREAM of 3 bytes", [&open[..], &frame(kind::RST_STREAM, 0, 1, &[0; 3])].concat(), Said::GoAway(6)),
        ("SETTINGS on a stream", frame(kind::SETTINGS, 0, 1, &[]), Said::GoAway(1)),
        ("SETTINGS of 5 bytes", frame(kind::SETTINGS, 0, 0, &[0; 5]), Said::GoAway(6)),
        ("an acknowledgement with settings", frame(kind::SETTINGS, flag::ACK, 0, &[0; 6]), Said::GoAway(6)),
        ("ENABLE_PUSH of 2", settings(setting::ENABLE_PUSH, 2), Said::GoAway(1)),
        ("a window of 2^31", settings(setting::INITIAL_WINDOW_SIZE, 1 << 31), Said::GoAway(3)),
        ("frames of 16,383 bytes", settings(setting::MAX_FRAME_SIZE, 16_383), Said::GoAway(1)),
        ("an unknown setting", settings(99, 1), Said::Nothing),
        ("PUSH_PROMISE", [&open[..], &frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0; 4])].concat(), Said::GoAway(1)),
        ("PING on a stream", frame(kind::PING, 0, 1, &[0; 8]), Said::GoAway(1)),
        ("PING of 7 bytes", frame(kind::PING, 0, 0, &[0; 7]), Said::GoAway(6)),
        ("GOAWAY on a stream", frame(kind::GO_AWAY, 0, 1, &[0; 8]), Said::GoAway(1)),
        ("WINDOW_UPDATE of nothing", frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), Said::GoAway(1)),
        ("the same of a stream", [&open[..], &frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4])].concat(), Said::Reset(1)),
        ("a window above 2^31 - 1", frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), Said::GoAway(3)),
        ("the same of a stream", [&open[..], &frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(), Said::Reset(3)),
        ("a frame of 16,384 bytes", frame(99, 0, 0, &[0; 16_384]), Said::Nothing),
        ("a frame of 16,385 bytes", frame(99, 0, 0, &[0; 16_385]), Said::GoAway(6)),
        ("an unknown frame", frame(99, 0xff, 1, b"x"), Said::Nothing),
    ];
    for (what, bytes, expected) in rows {
        assert_eq!(said(&bytes), expected, "{what}");
    }
}

#[test]
fn an_endpoint_s_frames_may_be_larger() {
    for (bytes, is_taken) in [(64 << 10, true), ((64 << 10) + 1, false)] {
        let mut client = Connection::client(WireLimits::default(), Instant::now());
        let hello = sent(&mut client, usize::MAX);
        let setting = [0, 5, 0, 1, 0, 0];
        assert!(hello.windows(setting.len()).any(|bytes| bytes == setting));
        receive(&mut client, &frame(kind::SETTINGS, 0, 0, &[]));
        receive(&mut client, &frame(99, 0, 0, &vec![0; bytes]));
        assert_eq!(!client.is_finished(), is_taken, "{bytes}");
    }
}

#[test]
fn late_frames_of_a_stream_that_was_reset_here_are_passed_over_and_its_window_comes_back() {
    let mut server = server();
    receive(&mut server, &request(1, 0));
    let (place, _) = server.next_request().unwrap();
    server.reset(place, ErrorCode::CANCEL);
    server.release_stream(place);
    server.release_stream(place);
    sent(&mut server, usize::MAX);

    let mut increments = 0;
    let data = frame(kind::DATA, 0, 1, &[0; 16_384]);
    for _ in 0..1_000 {
        receive(&mut server, &data);
        for (head, payload) in frames(&sent(&mut server, usize::MAX)) {
            assert_eq!((head.kind, head.stream), (kind::WINDOW_UPDATE, 0));
            increments += u32::from_be_bytes(payload.try_into().unwrap());
        }
    }
    assert!(increments > 800 * 16_384, "{increments}");
}

#[test]
fn more_streams_than_are_taken_are_refused_and_not_lost() {
    let mut server = server();
    for number in 0..1_025 {
        receive(&mut server, &request(2 * number + 1, 0));
    }
    let answer = frames(&sent(&mut server, usize::MAX));
    let [(head, payload)] = &answer[..] else {
        panic!("{answer:?}");
    };
    assert_eq!((head.kind, head.stream), (kind::RST_STREAM, 2_049));
    assert_eq!(payload[..], [0, 0, 0, 7], "REFUSED_STREAM");
    assert_eq!(server.open_streams(), 1_024);
}

#[test]
fn a_server_that_leaves_takes_what_was_sent_before_its_word_arrived() {
    let mut server = server();
    receive(&mut server, &request(1, flag::END_STREAM));
    server.finish();
    let told = frames(&sent(&mut server, usize::MAX));
    assert_eq!(told[0].0.kind, kind::GO_AWAY);
    assert_eq!(told[0].1[..4], [0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(told[1].0.kind, kind::PING);

    receive(&mut server, &request(3, flag::END_STREAM));
    receive(&mut server, &frame(kind::PING, flag::ACK, 0, &told[1].1));
    let told = frames(&sent(&mut server, usize::MAX));
    assert_eq!(
        told[0].1[..4],
        [0, 0, 0, 3],
        "the last stream that is taken"
    );
    receive(&mut server, &request(5, flag::END_STREAM));
    let refused = frames(&sent(&mut server, usize::MAX));
    assert_eq!(refused[0].1[..], [0, 0, 0, 7]);

    let (head, ()) = Response::new(()).into_parts();
    for _ in 0..2 {
        assert!(!server.is_finished());
        let (place, _) = server.next_request().unwrap();
        server.respond(place, &head, true).unwrap();
        server.release_stream(place);
        server.release_stream(place);
    }
    assert!(server.is_finished());
}

#[test]
fn a_reset_is_known_to_who_waits_for_it() {
    let mut server = server();
    receive(&mut server, &request(1, 0));
    let (place, _) = server.next_request().unwrap();
    assert_eq!(server.poll_cut(place, &context()), Poll::Pending);
    receive(&mut server, &frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    assert_eq!(
        server.poll_cut(place, &context()),
        Poll::Ready(Cut::Reset(ErrorCode::CANCEL))
    );
    assert_eq!(server.open_streams(), 0);
}
