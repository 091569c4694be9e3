//! Beginning in the middle of a connection.

use super::wire::{
    Coding, END_HEADERS, END_STREAM, Literal, data, field, headers, indexed, named, plain,
};
use super::{Event, KEY, Mode, found, server};
use crate::meter::{Block, Decoder, UNKNOWN, digest};

fn begun() -> Decoder {
    let mut decoder = server();
    decoder.begin_anywhere();
    decoder
}

fn block(decoder: &mut Decoder, fields: &[u8]) -> Block {
    let found = found(decoder, &headers(END_HEADERS, 1, fields));
    assert_eq!(found.len(), 1);
    found[0].block
}

#[test]
fn begins_with_any_frame() {
    let mut decoder = begun();
    let found = found(&mut decoder, &data(END_STREAM, 5, b"abc"));
    let event = Event::Data {
        stream: 5,
        bytes: 3,
        ends_stream: true,
    };
    assert_eq!(found[0].event, event);
    assert_eq!(decoder.mode, Mode::Partial as u32);
}

#[test]
fn what_was_inserted_before_is_unknown_and_what_comes_after_is_known() {
    let mut decoder = begun();
    let unknown = block(&mut decoder, &indexed(62));
    assert_eq!(
        (unknown.unknown_references, unknown.grpc_status),
        (1, UNKNOWN)
    );
    let inserted = field(Literal::Inserted, Coding::Raw, b"grpc-status", b"0");
    assert_eq!(block(&mut decoder, &inserted).grpc_status, 0);
    assert_eq!(block(&mut decoder, &indexed(62)).grpc_status, 0);
    let before = block(&mut decoder, &indexed(63));
    assert_eq!(
        (before.unknown_references, before.grpc_status),
        (1, UNKNOWN)
    );
}

#[test]
fn a_value_under_an_unknown_name_stays_unknown() {
    let mut decoder = begun();
    let inserted = named(Literal::Inserted, 70, Coding::Raw, b"5");
    assert_eq!(block(&mut decoder, &inserted).unknown_references, 1);
    let referred = block(&mut decoder, &indexed(62));
    assert_eq!(
        (referred.unknown_references, referred.grpc_status),
        (1, UNKNOWN)
    );
    let renamed = named(Literal::NotInserted, 62, Coding::Raw, b"5");
    assert_eq!(block(&mut decoder, &renamed).unknown_references, 1);
    assert_eq!(
        block(&mut decoder, &plain(b"grpc-status", b"5")).grpc_status,
        5
    );
}

#[test]
fn literal_paths_are_known_at_once() {
    let mut decoder = begun();
    let path = block(
        &mut decoder,
        &named(Literal::NotInserted, 4, Coding::Raw, b"/a/b"),
    );
    assert_eq!(path.path, digest::of(KEY, b"/a/b", false));
}

#[test]
fn a_fresh_start_forgets_what_was_in_the_way() {
    for length in 1..9 + 40 {
        let fields = field(Literal::Inserted, Coding::Raw, b"grpc-status", b"0");
        let frame = [headers(0, 1, &fields), headers(0, 1, &fields)].concat();
        let mut decoder = server();
        decoder.begin_anywhere();
        drop(found(&mut decoder, &frame[..length]));
        decoder.lose();
        assert_eq!(decoder.mode, Mode::Desync as u32);
        decoder.begin_anywhere();
        let after = block(
            &mut decoder,
            &[&indexed(62)[..], &plain(b"grpc-status", b"9")].concat(),
        );
        assert_eq!(
            (after.unknown_references, after.grpc_status),
            (1, 9),
            "{length}"
        );
    }
}
