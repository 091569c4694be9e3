//! Framing.

use super::wire::{
    END_HEADERS, END_STREAM, PADDED, PRIORITY, continuation, data, frame, head, headers, indexed,
    plain, reset, settings,
};
use super::{
    Event, Mode, after_preface, after_settings, check_events, client, events, found, server,
};
use crate::meter::{UNKNOWN, is_plausible_head};

const ENDED: Event = Event::Headers {
    stream: 1,
    ends_stream: true,
};
const GOES_ON: Event = Event::Headers {
    stream: 1,
    ends_stream: false,
};

/// `:status: 200`.
const OK: [u8; 1] = [0x88];

#[test]
fn a_client_begins_with_the_preface() {
    let mut decoder = client();
    let request = headers(END_HEADERS | END_STREAM, 1, &indexed(4));
    assert_eq!(events(&mut decoder, &after_preface(&request)), [ENDED]);
    assert_eq!(decoder.mode, Mode::Full as u32);
}

#[test]
fn padding_and_priority_stand_around_a_block() {
    let priority = [0x80, 0, 0, 3, 16];
    let rows: [(u8, Vec<u8>); 6] = [
        (0, OK.to_vec()),
        (PADDED, [&[3][..], &OK, &[0; 3]].concat()),
        (PADDED, [&[0][..], &OK].concat()),
        (PRIORITY, [&priority[..], &OK].concat()),
        (
            PADDED | PRIORITY,
            [&[2][..], &priority, &OK, &[0; 2]].concat(),
        ),
        (PADDED | PRIORITY, [&[0][..], &priority, &OK].concat()),
    ];
    for (flags, payload) in rows {
        let response = headers(flags | END_HEADERS, 1, &payload);
        let after = headers(END_HEADERS | END_STREAM, 1, &plain(b"grpc-status", b"0"));
        let mut decoder = server();
        let found = found(&mut decoder, &after_settings(&[response, after].concat()));
        assert_eq!(found.len(), 2, "flags {flags:#x}");
        assert_eq!(found[0].event, GOES_ON);
        assert_eq!(found[0].block.http_status, 200, "flags {flags:#x}");
        assert_eq!(found[1].event, ENDED);
        assert_eq!(found[1].block.grpc_status, 0);
    }
}

#[test]
fn a_block_may_be_nothing_but_padding_or_priority() {
    check_events(&headers(END_HEADERS, 1, &[]), &[GOES_ON]);
    check_events(&headers(END_HEADERS | PADDED, 1, &[2, 0, 0]), &[GOES_ON]);
    check_events(&headers(END_HEADERS | PRIORITY, 1, &[0; 5]), &[GOES_ON]);
}

#[test]
fn a_block_goes_on_in_continuations() {
    let fields = [&OK[..], &plain(b"grpc-status", b"5")].concat();
    for split in 0..=fields.len() {
        let frames = [
            headers(END_STREAM, 1, &fields[..split]),
            continuation(0, 1, &[]),
            continuation(END_HEADERS, 1, &fields[split..]),
        ];
        let found = found(&mut server(), &after_settings(&frames.concat()));
        assert_eq!(found.len(), 1, "split at {split}");
        assert_eq!(found[0].event, ENDED);
        assert_eq!(found[0].block.http_status, 200);
        assert_eq!(found[0].block.grpc_status, 5);
    }
}

#[test]
fn continuations_without_end_are_followed() {
    let mut frames = headers(0, 1, &OK);
    for _ in 0..1_000 {
        frames.extend(continuation(0, 1, &plain(b"x", b"y")));
    }
    let mut decoder = server();
    assert_eq!(events(&mut decoder, &after_settings(&frames)), []);
    assert_eq!(decoder.mode, Mode::Full as u32);
    assert_eq!(decoder.hpack.block.fields, 1_001);
}

#[test]
fn trailers_and_trailers_only_and_informational_headers_are_told_apart() {
    let trailers = plain(b"grpc-status", b"0");
    let informational = plain(b":status", b"103");
    let frames = [
        headers(END_HEADERS, 1, &informational),
        headers(END_HEADERS, 1, &OK),
        data(0, 1, b"12345"),
        headers(END_HEADERS | END_STREAM, 1, &trailers),
        headers(END_HEADERS | END_STREAM, 3, &[&OK[..], &trailers].concat()),
    ];
    let found = found(&mut server(), &after_settings(&frames.concat()));
    let said: Vec<_> = found
        .iter()
        .map(|found| {
            (
                found.event,
                found.block.http_status,
                found.block.grpc_status,
            )
        })
        .collect();
    let body = Event::Data {
        stream: 1,
        bytes: 5,
        ends_stream: false,
    };
    let only = Event::Headers {
        stream: 3,
        ends_stream: true,
    };
    assert_eq!(
        said,
        [
            (GOES_ON, 103, UNKNOWN),
            (GOES_ON, 200, UNKNOWN),
            (body, 200, UNKNOWN),
            (ENDED, UNKNOWN, 0),
            (only, 200, 0),
        ]
    );
}

#[test]
fn data_counts_without_padding() {
    let event = |bytes, ends_stream| Event::Data {
        stream: 1,
        bytes,
        ends_stream,
    };
    check_events(&data(0, 1, b"hello"), &[event(5, false)]);
    check_events(&data(0, 1, b""), &[event(0, false)]);
    check_events(&data(END_STREAM, 1, b""), &[event(0, true)]);
    check_events(&data(PADDED, 1, b"\x02hello\0\0"), &[event(5, false)]);
    check_events(
        &data(PADDED | END_STREAM, 1, b"\x04\0\0\0\0"),
        &[event(0, true)],
    );
    check_events(&data(PADDED, 1, b"\x00"), &[event(0, false)]);
}

#[test]
fn resets_and_goaway_give_their_numbers() {
    let event = Event::Reset { stream: 7, code: 8 };
    check_events(&reset(7, 8), &[event]);
    let last = [0x80, 0, 0, 9, 0, 0, 0, 0];
    for debug in [&b""[..], b"too_many_pings"] {
        let frames = [frame(7, 0, 0, &[&last, debug].concat()), reset(7, 8)].concat();
        check_events(&frames, &[Event::GoAway { last_stream: 9 }, event]);
    }
}

#[test]
fn other_frames_are_passed_over() {
    let frames = [
        settings(),
        frame(4, 1, 0, &[]),
        frame(6, 0, 0, &[0; 8]),
        frame(8, 0, 1, &[0; 4]),
        frame(2, 0, 1, &[0; 5]),
        frame(0xfe, 0xff, 0x7fff_ffff, &[0xaa; 1_000]),
        headers(END_HEADERS, 1, &OK),
    ];
    check_events(&frames.concat(), &[GOES_ON]);
}

#[test]
fn the_longest_frame_is_passed_by_arithmetic() {
    const LONGEST: u32 = (1 << 24) - 1;
    for kind in [0, 0xee] {
        let mut decoder = server();
        let begin = after_settings(&head(LONGEST as usize, kind, 0, 1));
        let expected: &[Event] = if kind == 0 {
            &[Event::Data {
                stream: 1,
                bytes: LONGEST,
                ends_stream: false,
            }]
        } else {
            &[]
        };
        assert_eq!(events(&mut decoder, &begin), expected);
        assert_eq!(decoder.skippable(), LONGEST);
        decoder.skip(LONGEST - 1);
        assert_eq!(decoder.skippable(), 1);
        let rest = [&[0][..], &headers(END_HEADERS, 1, &OK)].concat();
        assert_eq!(events(&mut decoder, &rest), [GOES_ON]);
    }
}

#[test]
fn hundreds_of_frames_in_one_write_are_all_seen() {
    let frames: Vec<u8> = (0..300)
        .flat_map(|number| headers(END_HEADERS | END_STREAM, 2 * number + 1, &OK))
        .collect();
    let events = events(&mut server(), &after_settings(&frames));
    let expected: Vec<_> = (0..300)
        .map(|number| Event::Headers {
            stream: 2 * number + 1,
            ends_stream: true,
        })
        .collect();
    assert_eq!(events, expected);
}

#[test]
fn plausible_heads_are_those_that_grpc_peers_send() {
    let is_plausible = |bytes: &[u8]| {
        let first = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        is_plausible_head(first, bytes[8])
    };
    let peers_send = [
        head(0, 0, 1, 1),
        head(16_384, 0, 8, 3),
        head(30, 1, 0x2d, 5),
        head(5, 2, 0, 5),
        head(4, 3, 0, 7),
        head(18, 4, 0, 0),
        head(0, 4, 1, 0),
        head(8, 6, 1, 0),
        head(12, 7, 0, 0),
        head(4, 8, 0, 0),
        head(99, 9, 4, 5),
    ];
    for bytes in peers_send {
        assert!(is_plausible(&bytes), "{bytes:?}");
    }
    let peers_do_not = [
        head(16_385, 0, 0, 1),
        head(1, 0, 0, 0),
        head(1, 0, 2, 1),
        head(1, 1, 4, 2),
        head(4, 2, 0, 5),
        head(5, 3, 0, 7),
        head(4, 3, 0, 0),
        head(5, 4, 0, 0),
        head(6, 4, 0, 1),
        head(7, 6, 0, 0),
        head(7, 7, 0, 0),
        head(5, 8, 0, 0),
        head(9, 9, 4, 0),
        head(9, 10, 0, 1),
        head(8, 0, 0, 0x8000_0001),
        b"HTTP/1.1 ".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc".to_vec(),
    ];
    for bytes in peers_do_not {
        assert!(!is_plausible(&bytes), "{bytes:?}");
    }
}
