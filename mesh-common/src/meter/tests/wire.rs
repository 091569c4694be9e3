//! Writes frames and header fields by hand.

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
}

pub(super) fn head(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = u32::try_from(length).expect("a frame is short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes
}

pub(super) fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

pub(super) fn headers(flags: u8, stream: u32, fields: &[u8]) -> Vec<u8> {
    frame(1, flags, stream, fields)
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(3, 0, stream, &code.to_be_bytes())
}

pub(super) fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
}

pub(super) fn continuation(flags: u8, stream: u32, fields: &[u8]) -> Vec<u8> {
    frame(9, flags, stream, fields)
}

/// RFC 7541 section 5.1, with `first` above the prefix.
pub(super) fn integer(first: u8, prefix_bits: u32, value: usize) -> Vec<u8> {
    let mask = (1_usize << prefix_bits) - 1;
    let octet = |value: usize| u8::try_from(value).expect("masked");
    if value < mask {
        return vec![first | octet(value)];
    }
    let mut bytes = vec![first | octet(mask)];
    let mut rest = value - mask;
    while rest >= 0x80 {
        bytes.push(octet(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    bytes.push(octet(rest));
    bytes
}

pub(super) fn huffman(text: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    httlib_huffman::encode(text, &mut coded).expect("every byte has a code");
    coded
}

/// How a string is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Raw,
    Huffman,
}

pub(super) const CODINGS: [Coding; 2] = [Coding::Raw, Coding::Huffman];

pub(super) fn encoded(coding: Coding, text: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Raw => text.to_vec(),
        Coding::Huffman => huffman(text),
    }
}

pub(super) fn string(coding: Coding, text: &[u8]) -> Vec<u8> {
    let body = encoded(coding, text);
    let mut bytes = integer(coded_bit(coding), 7, body.len());
    bytes.extend_from_slice(&body);
    bytes
}

fn coded_bit(coding: Coding) -> u8 {
    match coding {
        Coding::Raw => 0,
        Coding::Huffman => 0x80,
    }
}

/// Whether a literal goes into the dynamic table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Inserted,
    NotInserted,
    NeverInserted,
}

pub(super) const LITERALS: [Literal; 3] = [
    Literal::Inserted,
    Literal::NotInserted,
    Literal::NeverInserted,
];

fn begin(literal: Literal, index: usize) -> Vec<u8> {
    match literal {
        Literal::Inserted => integer(0x40, 6, index),
        Literal::NotInserted => integer(0, 4, index),
        Literal::NeverInserted => integer(0x10, 4, index),
    }
}

pub(super) fn indexed(index: usize) -> Vec<u8> {
    integer(0x80, 7, index)
}

pub(super) fn resize(bytes: usize) -> Vec<u8> {
    integer(0x20, 5, bytes)
}

pub(super) fn named(literal: Literal, index: usize, coding: Coding, value: &[u8]) -> Vec<u8> {
    [begin(literal, index), string(coding, value)].concat()
}

pub(super) fn field(literal: Literal, coding: Coding, name: &[u8], value: &[u8]) -> Vec<u8> {
    [
        begin(literal, 0),
        string(coding, name),
        string(coding, value),
    ]
    .concat()
}

/// A raw literal that is not inserted.
pub(super) fn plain(name: &[u8], value: &[u8]) -> Vec<u8> {
    field(Literal::NotInserted, Coding::Raw, name, value)
}
