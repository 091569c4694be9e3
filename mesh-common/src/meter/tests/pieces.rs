//! The same bytes in other pieces give the same events.

use super::wire::{
    CODINGS, END_HEADERS, END_STREAM, LITERALS, PADDED, PRIORITY, continuation, data, field, frame,
    headers, indexed, named, plain, reset, resize, settings,
};
use super::{Decoder, Found, KEY, Mode, PREFACE, client, found, server};
use crate::meter::{BUFFER_BYTES, Buffer, Event};
use proptest::collection::vec;
use proptest::prelude::*;
use zerocopy::IntoBytes;

fn in_pieces(mut decoder: Decoder, bytes: &[u8], cuts: &[usize]) -> (Vec<Found>, u32) {
    let mut all = Vec::new();
    let mut from = 0;
    for &cut in cuts.iter().chain(&[bytes.len()]) {
        all.extend(found(&mut decoder, &bytes[from..cut]));
        from = cut;
    }
    (all, decoder.mode)
}

#[track_caller]
fn check_every_split(decoder: fn() -> Decoder, bytes: &[u8]) {
    let whole = in_pieces(decoder(), bytes, &[]);
    let single: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(in_pieces(decoder(), bytes, &single), whole, "byte by byte");
    for cut in 0..bytes.len() {
        assert_eq!(in_pieces(decoder(), bytes, &[cut]), whole, "cut at {cut}");
    }
}

fn exchange() -> [Vec<u8>; 2] {
    let trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = [&PREFACE[..], &settings()].concat();
    let mut response = settings();
    for (number, coding) in CODINGS.into_iter().enumerate() {
        for literal in LITERALS {
            let fields = [
                resize(4_096),
                indexed(3),
                named(literal, 4, coding, b"/helloworld.Greeter/SayHello"),
                field(literal, coding, b"content-type", b"application/grpc"),
                field(literal, coding, b"grpc-timeout", b"20S"),
                field(literal, coding, b"traceparent", trace),
                field(literal, coding, b"x-long", &[b'x'; 300]),
                indexed(62),
            ]
            .concat();
            let stream = 2 * u32::try_from(number).expect("two") + 1;
            let payload = [&[2][..], &[0; 5], &fields[..40], &[0; 2]].concat();
            request.extend(headers(PADDED | PRIORITY, stream, &payload));
            request.extend(continuation(0, stream, &fields[40..150]));
            request.extend(continuation(END_HEADERS, stream, &fields[150..]));
            request.extend(frame(8, 0, 0, &[0; 4]));
            request.extend(data(PADDED | END_STREAM, stream, b"\x03payload\0\0\0"));
            response.extend(headers(END_HEADERS, stream, &indexed(8)));
            response.extend(data(0, stream, b"payload"));
            let status = field(literal, coding, b"grpc-status", b"13");
            response.extend(headers(END_HEADERS | END_STREAM, stream, &status));
            response.extend(reset(stream, 8));
        }
    }
    response.extend(frame(7, 0, 0, &[0; 12]));
    [request, response]
}

#[test]
fn an_exchange_says_the_same_at_every_split() {
    let [request, response] = exchange();
    check_every_split(client, &request);
    check_every_split(server, &response);
    let (all, mode) = in_pieces(client(), &request, &[]);
    assert_eq!((all.len(), mode), (12, Mode::Full as u32));
    let (all, mode) = in_pieces(server(), &response, &[]);
    assert_eq!((all.len(), mode), (25, Mode::Full as u32));
}

#[test]
fn a_broken_stream_says_the_same_at_every_split() {
    for bad in [
        headers(END_HEADERS | END_STREAM, 1, &[0x88, 0x80, 0x88]),
        headers(END_HEADERS, 1, &plain(b"grpc-status", b"13")[..9]),
        frame(5, END_HEADERS, 1, &[0; 9]),
        continuation(END_HEADERS, 1, &[0x88]),
        [
            headers(0, 1, &[0x80; 9]),
            continuation(END_HEADERS, 1, &[0x88]),
        ]
        .concat(),
    ] {
        let after = headers(END_HEADERS, 3, &indexed(8));
        check_every_split(server, &[settings(), bad, after].concat());
    }
}

/// Bytes that are nearly frames.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let frames = (0..12_u8, any::<u8>(), 0..4_u32, vec(any::<u8>(), 0..60))
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    vec(frames, 0..12).prop_map(|frames| [settings(), frames.concat()].concat())
}

proptest! {
    #[test]
    fn noise_says_the_same_in_any_pieces(
        bytes in noise(),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
        is_partial: bool,
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let begin = || {
            let mut decoder = server();
            if is_partial {
                decoder.begin_anywhere();
            }
            decoder
        };
        prop_assert_eq!(in_pieces(begin(), &bytes, &cuts), in_pieces(begin(), &bytes, &[]));
    }

    #[test]
    fn a_step_passes_some_bytes_and_no_more_than_there_are(
        bytes in prop_oneof![noise(), vec(any::<u8>(), 1..400)],
        windows in vec((1..=BUFFER_BYTES, 0..BUFFER_BYTES, 0..70_000_u32), 1..50),
    ) {
        let mut decoder = server();
        decoder.begin_anywhere();
        let mut rest = &bytes[..];
        let mut buffer = Buffer::EMPTY;
        for (held, at, behind) in windows.into_iter().cycle().take(2_000) {
            if rest.is_empty() || decoder.mode >= Mode::Desync as u32 {
                break;
            }
            let at = at.min(BUFFER_BYTES - 1);
            let held = held.min(rest.len()).min(BUFFER_BYTES - at);
            buffer.words.as_mut_bytes()[at..at + held].copy_from_slice(&rest[..held]);
            let [at, held] = [at, held].map(|count| u32::try_from(count).expect("a buffer is short"));
            // More may have arrived than is looked at.
            let available = held + behind;
            let step = decoder.step(&buffer, at, held, available, KEY);
            prop_assert!(step.consumed >= 1 && step.consumed <= available);
            if step.event == Event::Lost {
                prop_assert!(decoder.mode >= Mode::Desync as u32);
            }
            rest = rest.get(step.consumed as usize..).unwrap_or_default();
        }
    }
}
