//! An encoder of header blocks that writes a field in whatever legal way it is told.

use std::collections::VecDeque;

/// A name and a value.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// How a field is to be written, if it can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// By reference to the whole field.
    pub(crate) refers: bool,
    /// By reference to the name.
    pub(crate) refers_to_name: bool,
    /// 0: inserted, 1: not, 2: never.
    pub(crate) literal: u8,
    /// The name in Huffman codes.
    pub(crate) huffman_name: bool,
    /// The value in Huffman codes.
    pub(crate) huffman_value: bool,
}

impl Manner {
    /// One of all there are.
    pub(crate) const fn chosen(how: u8) -> Self {
        Self {
            refers: how & 1 == 0,
            refers_to_name: how & 2 == 0,
            literal: (how >> 2) & 3,
            huffman_name: how & 16 == 0,
            huffman_value: how & 32 == 0,
        }
    }
}

/// A dynamic table and what it writes.
pub(crate) struct Encoder {
    /// The newest first.
    entries: VecDeque<Field>,
    bytes: usize,
    bytes_max: usize,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max: 4_096,
        }
    }

    /// Changes the table's size.
    pub(crate) fn resize(&mut self, bytes_max: usize, block: &mut Vec<u8>) {
        self.bytes_max = bytes_max;
        self.evict();
        integer(block, 0x20, 5, bytes_max);
    }

    /// Writes a field.
    pub(crate) fn write(&mut self, field: &Field, manner: Manner, block: &mut Vec<u8>) {
        let (name, value) = field;
        let exact = self.entries.iter().position(|entry| entry == field);
        if let Some(age) = exact.filter(|_| manner.refers) {
            return integer(block, 0x80, 7, 62 + age);
        }
        if let Some(index) = STATIC
            .iter()
            .find(|(_, n, v)| (*n, *v) == (&name[..], &value[..]))
            && manner.refers
        {
            return integer(block, 0x80, 7, index.0);
        }
        let (first, prefix_bits) = match manner.literal {
            0 => (0x40, 6),
            1 => (0, 4),
            _ => (0x10, 4),
        };
        let dynamic = self.entries.iter().position(|(known, _)| known == name);
        let of_static = STATIC.iter().find(|(_, known, _)| known == name);
        let index = dynamic
            .map(|age| age + 62)
            .or(of_static.map(|(index, ..)| *index));
        let index = index.filter(|_| manner.refers_to_name).unwrap_or(0);
        integer(block, first, prefix_bits, index);
        if index == 0 {
            string(block, name, manner.huffman_name);
        }
        string(block, value, manner.huffman_value);
        if manner.literal == 0 {
            self.bytes += size(field);
            self.entries.push_front(field.clone());
            self.evict();
        }
    }

    fn evict(&mut self) {
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.bytes -= size(&oldest);
        }
    }
}

/// Entries of the static table that say something to the meter, and one that does not.
const STATIC: [(usize, &[u8], &[u8]); 12] = [
    (4, b":path", b"/"),
    (5, b":path", b"/index.html"),
    (8, b":status", b"200"),
    (9, b":status", b"204"),
    (10, b":status", b"206"),
    (11, b":status", b"304"),
    (12, b":status", b"400"),
    (13, b":status", b"404"),
    (14, b":status", b"500"),
    (31, b"content-type", b""),
    (38, b"host", b""),
    (58, b"user-agent", b""),
];

/// RFC 7541 section 4.1.
fn size((name, value): &Field) -> usize {
    name.len() + value.len() + 32
}

fn string(block: &mut Vec<u8>, text: &[u8], is_huffman: bool) {
    let mut coded = Vec::new();
    if is_huffman {
        httlib_huffman::encode(text, &mut coded).expect("every byte has a code");
    } else {
        coded.extend_from_slice(text);
    }
    integer(block, if is_huffman { 0x80 } else { 0 }, 7, coded.len());
    block.extend_from_slice(&coded);
}

fn integer(block: &mut Vec<u8>, first: u8, prefix_bits: u32, value: usize) {
    let mask = (1_usize << prefix_bits) - 1;
    let octet = |value: usize| u8::try_from(value).expect("at most seven bits");
    if value < mask {
        block.push(first | octet(value));
        return;
    }
    block.push(first | octet(mask));
    let mut rest = value - mask;
    while rest >= 0x80 {
        block.push(octet(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    block.push(octet(rest));
}
