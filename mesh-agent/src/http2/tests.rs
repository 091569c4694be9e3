//! Connections held against each other, and against frames that no good peer sends.

mod frames;
mod pairs;

use super::frame::{FrameHead, HEAD_BYTES, PREFACE, flag, kind};
use super::hpack::{Encoder, Indexing};
use super::{Connection, WireLimits};
use bytes::BytesMut;
use std::io::IoSlice;
use std::task::{Context, Waker};
use std::time::Instant;

/// A context whose task nobody wakes.
fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Takes at most `most` bytes of what a connection has to send.
fn sent(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = connection.output().slices(&mut slices);
    let mut bytes: Vec<u8> = slices[..filled].concat_slices();
    bytes.truncate(most);
    connection.output().advance(bytes.len());
    connection.flushed();
    bytes
}

trait ConcatSlices {
    fn concat_slices(&self) -> Vec<u8>;
}

impl ConcatSlices for [IoSlice<'_>] {
    fn concat_slices(&self) -> Vec<u8> {
        self.iter()
            .flat_map(|slice| slice.iter().copied())
            .collect()
    }
}

/// A frame as bytes.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = FrameHead {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    [&head.bytes()[..], payload].concat()
}

/// The frames in some bytes.
fn frames(mut bytes: &[u8]) -> Vec<(FrameHead, Vec<u8>)> {
    let mut all = vec![];
    while let Some(head) = FrameHead::read(bytes) {
        let (this, rest) = bytes.split_at(HEAD_BYTES + head.length);
        all.push((head, this[HEAD_BYTES..].to_vec()));
        bytes = rest;
    }
    all
}

/// Names and values as one block.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let mut encoder = Encoder::new();
    encoder.begin(&mut bytes);
    for (name, value) in fields {
        encoder.field(
            name.as_bytes(),
            value.as_bytes(),
            Indexing::Without,
            &mut bytes,
        );
    }
    bytes.to_vec()
}

const POST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "cart.shop"),
    (":path", "/shop.Cart/Add"),
];

/// A server that a client has greeted; what it has said to that is taken.
fn server() -> Connection {
    let mut server = Connection::server(WireLimits::default(), Instant::now());
    let hello = [&PREFACE[..], &frame(kind::SETTINGS, 0, 0, &[])].concat();
    server.receive(&mut BytesMut::from(&hello[..]), Instant::now());
    sent(&mut server, usize::MAX);
    server
}

fn receive(connection: &mut Connection, bytes: &[u8]) {
    connection.receive(&mut BytesMut::from(bytes), Instant::now());
}

/// HEADERS of a request, complete or not.
fn request(stream: u32, flags: u8) -> Vec<u8> {
    frame(
        kind::HEADERS,
        flag::END_HEADERS | flags,
        stream,
        &block(POST),
    )
}
