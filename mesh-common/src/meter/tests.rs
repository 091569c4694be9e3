//! The decoder through its outer door: bytes in, events out.

mod broken;
mod fields;
mod frames;
mod midstream;
mod pieces;
mod values;
mod wire;

use super::{Block, Decoder, Event, HUFFMAN_BIT, Mode, PREFACE, feed};
use zerocopy::{FromZeros, IntoBytes};

const KEY: u64 = 0x0123_4567_89ab_cdef;

/// An event, and what the decoder said when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    event: Event,
    /// The fields, without what the last block's long strings left behind.
    block: Block,
    /// The encoded path, if this block had it literally.
    path: Vec<u8>,
}

fn server() -> Decoder {
    Decoder::new_zeroed()
}

fn client() -> Decoder {
    let mut decoder = Decoder::new_zeroed();
    decoder.begin_client();
    decoder
}

/// Feeds one piece.
fn found(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Found> {
    let mut all = Vec::new();
    feed(decoder, bytes, KEY, |event, decoder| {
        let mut block = decoder.hpack.block;
        let trace_bytes = (block.trace_parent_length & !HUFFMAN_BIT) as usize;
        block.trace_parent.as_mut_bytes()[trace_bytes..].fill(0);
        let path = decoder.hpack.path.as_bytes();
        let length = (block.path_length & !HUFFMAN_BIT) as usize;
        let path = path[..length.min(path.len())].to_vec();
        all.push(Found { event, block, path });
    });
    all
}

fn events(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Event> {
    found(decoder, bytes)
        .into_iter()
        .map(|found| found.event)
        .collect()
}

/// What a server says after its SETTINGS.
fn after_settings(bytes: &[u8]) -> Vec<u8> {
    [&wire::settings(), bytes].concat()
}

/// What a client says after preface and SETTINGS.
fn after_preface(bytes: &[u8]) -> Vec<u8> {
    [&PREFACE[..], &wire::settings(), bytes].concat()
}

/// The events of a server's frames, which begin with its SETTINGS.
#[track_caller]
fn check_events(frames: &[u8], expected: &[Event]) {
    assert_eq!(events(&mut server(), &after_settings(frames)), expected);
}

/// The fields of one whole block.
fn block(fields: &[u8]) -> Block {
    let mut decoder = server();
    let frame = wire::headers(wire::END_HEADERS, 1, fields);
    let found = found(&mut decoder, &after_settings(&frame));
    assert_eq!(decoder.mode, Mode::Full as u32, "{fields:02x?}");
    assert_eq!(found.len(), 1, "{fields:02x?}");
    found[0].block
}
