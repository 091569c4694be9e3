//! Header blocks, read and written by the proxy and by a full implementation.

use bytes::BytesMut;
use fluke_hpack::decoder::DecoderError;

use crate::choices::Choices;
use crate::rules::is_malformed;
use crate::walk::{Representation, walk};
use mesh_agent::http2::hpack::{Decoder, Encoder, Field, Indexing, TABLE_BYTES_MAX};

/// A name and a value.
type Texts = (Vec<u8>, Vec<u8>);

/// Takes bytes for the blocks of a connection, each behind its length and followed by how it is written again.
///
/// # Panics
/// When the two disagree on what a block says or whether it says anything, or one does not understand the other.
pub fn check_blocks(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut reading = Reading {
        decoder: Decoder::new(TABLE_BYTES_MAX),
        other: other(),
    };
    let mut writing = Writing {
        encoder: Encoder::new(),
        other: other(),
    };
    while !choices.0.is_empty() {
        let length = usize::from(choices.next());
        let Some(list) = reading.block(choices.take(length)) else {
            return;
        };
        writing.block(&mut choices, &list);
    }
}

fn other() -> fluke_hpack::Decoder<'static> {
    let mut decoder = fluke_hpack::Decoder::new();
    decoder.set_max_allowed_table_size(TABLE_BYTES_MAX);
    decoder
}

/// One direction, read by both.
struct Reading {
    decoder: Decoder,
    other: fluke_hpack::Decoder<'static>,
}

impl Reading {
    /// What a block says; `None`: nothing, and nothing can be read behind it.
    fn block(&mut self, block: &[u8]) -> Option<Vec<Texts>> {
        let mut fields = Vec::new();
        let decoded = self
            .decoder
            .decode(block, |field, bytes| fields.push((field.clone(), bytes)));
        let Some(list) = self.expected(block) else {
            assert!(decoded.is_err(), "{fields:?}");
            return None;
        };
        assert_eq!(decoded, Ok(()));
        assert_eq!(fields.len(), list.len());
        for ((field, bytes), (name, value)) in fields.iter().zip(&list) {
            assert_eq!(*bytes, name.len() + value.len() + 32);
            check_field(field, name, value);
        }
        Some(list)
    }

    fn expected(&mut self, block: &[u8]) -> Option<Vec<Texts>> {
        // The other one panics on a size that is cut.
        let representations = walk(block)?;
        let is_size = |one: &Representation| *one == Representation::Resized;
        let sizes = representations
            .iter()
            .take_while(|one| is_size(one))
            .count();
        // RFC 7541, 4.2: sizes come first, of which the other one takes no note.
        if representations[sizes..].iter().any(is_size) {
            return None;
        }
        match self.other.decode(block) {
            Ok(list) => Some(list),
            // It takes no block without fields, which trailers may be.
            Err(DecoderError::SizeUpdateAtEnd) => Some(Vec::new()),
            Err(_) => None,
        }
    }
}

fn check_field(field: &Field, name: &[u8], value: &[u8]) {
    let (own_name, own_value) = match field {
        Field::Method(method) => (":method", method.as_str().as_bytes()),
        Field::Scheme(scheme) => (":scheme", scheme.as_str().as_bytes()),
        Field::Authority(authority) => (":authority", authority.as_str().as_bytes()),
        Field::Path(path) => (":path", path.as_str().as_bytes()),
        Field::Status(status) => (":status", status.as_str().as_bytes()),
        Field::Header(name, value) => (name.as_str(), value.as_bytes()),
        Field::Malformed => {
            assert_ne!(is_malformed(name, value), Some(false), "{name:?} {value:?}");
            return;
        }
    };
    assert_ne!(is_malformed(name, value), Some(true), "{field:?}");
    assert_eq!((own_name.as_bytes(), own_value), (name, value));
}

/// The other direction.
struct Writing {
    encoder: Encoder,
    other: fluke_hpack::Decoder<'static>,
}

impl Writing {
    fn block(&mut self, choices: &mut Choices<'_>, list: &[Texts]) {
        let how = choices.next();
        // What says nothing but sizes, the other one would not take.
        if list.is_empty() {
            return;
        }
        for _ in 0..how & 3 {
            let bytes = u32::from(choices.next()) * 17;
            self.encoder.set_table_bytes_max(bytes);
        }
        let mut block = BytesMut::new();
        self.encoder.begin(&mut block);
        let mut manner = how >> 2;
        for (name, value) in list {
            manner = manner.rotate_left(1);
            let indexing = match manner & 7 {
                0 => Indexing::Never,
                1 => Indexing::Without,
                _ => Indexing::Incremental,
            };
            self.encoder.field(name, value, indexing, &mut block);
        }
        let read = self.other.decode(&block);
        assert_eq!(read.as_deref(), Ok(list));
    }
}
