//! Frames and blocks that cannot be right.

use super::wire::{
    END_HEADERS, END_STREAM, PADDED, PRIORITY, continuation, data, frame, headers, plain, reset,
    settings,
};
use super::{Event, Mode, PREFACE, after_settings, check_events, client, events, found, server};
use crate::meter::UNKNOWN;

const ENDED: Event = Event::Headers {
    stream: 1,
    ends_stream: true,
};

/// `:status: 200`.
const OK: [u8; 1] = [0x88];

#[track_caller]
fn check_ends_as(frames: &[u8], last: Event, mode: Mode) {
    let mut decoder = server();
    let events = events(&mut decoder, &after_settings(frames));
    assert_eq!(events.last(), Some(&last));
    assert_eq!(decoder.mode, mode as u32);
}

#[track_caller]
fn check_lost(frames: &[u8]) {
    check_ends_as(frames, Event::Lost, Mode::Desync);
}

#[test]
fn a_client_without_preface_is_opaque_at_the_first_wrong_byte() {
    for wrong in 0..PREFACE.len() {
        let mut bytes = PREFACE;
        bytes[wrong] ^= 0x20;
        let mut decoder = client();
        let mut seen = Vec::new();
        for byte in &bytes[..=wrong] {
            seen.extend(events(&mut decoder, &[*byte]));
        }
        assert_eq!(seen, [Event::Lost], "byte {wrong}");
        assert_eq!(decoder.mode, Mode::Opaque as u32);
        let mut decoder = client();
        assert_eq!(events(&mut decoder, &bytes), [Event::Lost]);
    }
}

#[test]
fn a_first_frame_that_is_no_settings_is_another_protocol() {
    for first in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[0x15, 3, 3, 0, 2, 2, 0x46, 0, 0, 0],
    ] {
        let mut decoder = server();
        assert_eq!(events(&mut decoder, first), [Event::Lost]);
        assert_eq!(decoder.mode, Mode::Opaque as u32);
    }
}

#[test]
fn padding_longer_than_the_frame_loses_the_place() {
    check_lost(&headers(END_HEADERS | PADDED, 1, &[3, 0x88, 0]));
    check_lost(&headers(END_HEADERS | PADDED, 1, &[]));
    check_lost(&headers(
        END_HEADERS | PADDED | PRIORITY,
        1,
        &[1, 0, 0, 0, 0, 0],
    ));
    check_lost(&headers(END_HEADERS | PRIORITY, 1, &[0; 4]));
    check_lost(&data(PADDED, 1, &[2, 0]));
    check_lost(&data(PADDED, 1, &[]));
}

#[test]
fn nothing_may_stand_inside_a_block() {
    for between in [
        data(0, 1, b"x"),
        settings(),
        headers(END_HEADERS, 3, &OK),
        continuation(END_HEADERS, 3, &OK),
        frame(0x33, 0, 0, b"unknown"),
        reset(1, 8),
    ] {
        check_lost(&[headers(0, 1, &OK), between].concat());
    }
    check_lost(&continuation(END_HEADERS, 1, &OK));
}

#[test]
fn frames_that_need_a_stream_and_name_none_lose_the_place() {
    check_lost(&data(0, 0, b"x"));
    check_lost(&headers(END_HEADERS, 0, &OK));
    check_lost(&reset(0, 8));
    check_lost(&frame(5, 0, 0, &[0; 4]));
}

#[test]
fn a_push_promise_leaves_frames_only() {
    let promise = frame(5, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]);
    let after = headers(END_HEADERS | END_STREAM, 1, &OK);
    let lost = Event::HeadersLost {
        stream: 0,
        ends_stream: false,
    };
    let mut decoder = server();
    let found = found(
        &mut decoder,
        &after_settings(&[&promise[..], &promise, &after].concat()),
    );
    assert_eq!(decoder.mode, Mode::FramesOnly as u32);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].event, lost);
    assert_eq!(found[1].event, ENDED);
    assert_eq!(found[1].block.http_status, UNKNOWN);
}

#[test]
fn a_malformed_block_still_ends_its_stream_and_says_nothing() {
    // :status 200, :path "/", an index of zero.
    let bad = [0x88, 0x84, 0x80, 0x88];
    for flags in [END_HEADERS, END_HEADERS | PADDED] {
        let payload = if flags & PADDED == 0 {
            bad.to_vec()
        } else {
            [&[1][..], &bad, &[0]].concat()
        };
        let frames = [
            headers(flags | END_STREAM, 1, &payload),
            headers(END_HEADERS, 3, &OK),
        ];
        let mut decoder = server();
        let found = found(&mut decoder, &after_settings(&frames.concat()));
        assert_eq!(
            found[0].event,
            Event::HeadersLost {
                stream: 1,
                ends_stream: true
            }
        );
        assert_eq!(found[0].block.http_status, UNKNOWN);
        assert_eq!(found[0].block.path, 0);
        assert_eq!(
            found[1].event,
            Event::Headers {
                stream: 3,
                ends_stream: false
            }
        );
        assert_eq!(found[1].block.http_status, UNKNOWN);
        assert_eq!(decoder.mode, Mode::FramesOnly as u32);
    }
}

#[test]
fn a_malformed_block_with_continuations_ends_with_the_last() {
    let frames = [
        headers(END_STREAM, 1, &[0x80]),
        continuation(0, 1, &OK),
        continuation(END_HEADERS, 1, &OK),
    ];
    let lost = Event::HeadersLost {
        stream: 0,
        ends_stream: false,
    };
    check_events(&frames.concat(), &[lost, ENDED]);
}

#[test]
fn a_block_that_ends_inside_a_field_is_malformed() {
    let lost = Event::HeadersLost {
        stream: 1,
        ends_stream: false,
    };
    let field = plain(b"grpc-status", b"13");
    for length in 1..field.len() {
        check_ends_as(
            &headers(END_HEADERS, 1, &field[..length]),
            lost,
            Mode::FramesOnly,
        );
    }
}

#[test]
fn frames_of_a_wrong_length_lose_the_place() {
    check_lost(&frame(3, 0, 1, &[0; 3]));
    check_lost(&frame(3, 0, 1, &[0; 5]));
    check_lost(&frame(7, 0, 0, &[0; 7]));
}
