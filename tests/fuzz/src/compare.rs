//! Holds the meter against the oracle.

use std::collections::HashMap;

use mesh_common::meter::{
    Decoder, Event, HUFFMAN_BIT, Mode, PATH_BYTES_MAX, PREFACE, UNKNOWN, feed,
};
use zerocopy::{FromZeros, IntoBytes};

use crate::oracle::{End, Oracle, Said};
use crate::values::{Coded, Fields, Identity};

const KEY: u64 = 0x0123_4567_89ab_cdef;

const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Takes the first byte for how the rest begins and where it is cut.
///
/// # Panics
/// When the meter and the oracle disagree.
pub fn check_bytes(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else {
        return;
    };
    let is_client = how & 1 != 0;
    if how & 2 != 0 {
        check(is_client, &[&SETTINGS[..], rest].concat(), u64::from(how));
    } else {
        check(is_client, rest, u64::from(how));
    }
}

/// Compares what the meter and the oracle find in the frames of a direction, and gives the oracle's view.
///
/// # Panics
/// When they disagree, or when the meter finds something else in other pieces.
pub fn check(is_client: bool, frames: &[u8], seed: u64) -> (Oracle, End) {
    let (oracle, length, end) = Oracle::read(frames);
    let preface: &[u8] = if is_client { &PREFACE } else { &[] };
    let whole_frames = [preface, &frames[..length]].concat();
    let (metered, mode) = meter(is_client, &[&whole_frames]);
    match end {
        End::Whole => {
            let expected = if oracle
                .said
                .iter()
                .any(|said| matches!(said, Said::HeadersLost { .. }))
            {
                Mode::FramesOnly
            } else {
                Mode::Full
            };
            assert_eq!(mode, expected as u32);
        }
        End::Broken => assert!(mode >= Mode::Desync as u32),
        End::Illegal => {}
    }
    compare(&oracle.said, &metered, end);

    let all = [preface, frames].concat();
    let whole = meter(is_client, &[&all]);
    let pieces = cut(&all, seed);
    assert_eq!(meter(is_client, &pieces), whole, "cut by {seed}");
    let single: Vec<&[u8]> = all.chunks(1).collect();
    assert_eq!(meter(is_client, &single), whole, "byte by byte");
    (oracle, end)
}

/// What the meter said: an event, and a path's digest instead of its identity.
type Metered = (Said, u64);

fn compare(oracle: &[Said], metered: &[Metered], end: End) {
    if end == End::Illegal {
        assert!(metered.len() >= oracle.len());
    } else {
        assert_eq!(metered.len(), oracle.len(), "{oracle:#?}\n{metered:#?}");
    }
    let mut digests: HashMap<u64, &Identity> = HashMap::new();
    let mut identities: HashMap<&Identity, u64> = HashMap::new();
    for (expected, (said, digest)) in oracle.iter().zip(metered) {
        let Said::Headers { fields, .. } = expected else {
            assert_eq!(said, expected);
            continue;
        };
        let mut without_path = expected.clone();
        if let Said::Headers { fields, .. } = &mut without_path {
            fields.path = None;
        }
        assert_eq!(*said, without_path);
        let Some(path) = &fields.path else {
            assert_eq!(*digest, 0);
            continue;
        };
        assert_ne!(*digest, 0);
        assert_eq!(digests.insert(*digest, path).unwrap_or(path), path);
        assert_eq!(identities.insert(path, *digest).unwrap_or(*digest), *digest);
    }
}

fn meter(is_client: bool, pieces: &[&[u8]]) -> (Vec<Metered>, u32) {
    let mut decoder = Decoder::new_zeroed();
    if is_client {
        decoder.begin_client();
    }
    let mut metered = Vec::new();
    for piece in pieces {
        feed(&mut decoder, piece, KEY, |event, decoder| {
            let (fields, path) = fields(decoder);
            metered.push((said(event, fields), path));
        });
    }
    (metered, decoder.mode)
}

fn said(event: Event, fields: Fields) -> Said {
    match event {
        Event::Headers {
            stream,
            ends_stream,
        } => Said::Headers {
            stream,
            ends_stream,
            fields: Box::new(fields),
        },
        Event::Data {
            stream,
            bytes,
            ends_stream,
        } => Said::Data {
            stream,
            bytes,
            ends_stream,
        },
        Event::Reset { stream, code } => Said::Reset { stream, code },
        Event::GoAway { last_stream } => Said::GoAway { last_stream },
        Event::HeadersLost {
            stream,
            ends_stream,
        } => {
            assert!(stream == 0 || fields == Fields::NONE);
            Said::HeadersLost {
                stream,
                ends_stream,
            }
        }
        Event::None | Event::Lost => Said::Lost,
    }
}

/// The block's fields but for the path, and the path's digest.
fn fields(decoder: &Decoder) -> (Fields, u64) {
    let block = &decoder.hpack.block;
    assert!(block.grpc_status <= 999 || block.grpc_status == UNKNOWN);
    let fields = Fields {
        path: None,
        path_text: coded(block.path_length, decoder.hpack.path.as_bytes()),
        http_status: block.http_status,
        grpc_status: block.grpc_status,
        timeout_us: block.timeout_us,
        content: block.content,
        trace_parent: coded(block.trace_parent_length, block.trace_parent.as_bytes()),
        count: block.fields as usize - block.unknown_references as usize,
    };
    (fields, block.path)
}

fn coded(marked: u32, bytes: &[u8]) -> Option<Coded> {
    let length = (marked & !HUFFMAN_BIT).min(PATH_BYTES_MAX) as usize;
    (length != 0).then(|| Coded {
        is_huffman: marked & HUFFMAN_BIT != 0,
        bytes: bytes[..length].to_vec(),
    })
}

/// Cuts where a simple generator says.
fn cut(mut bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let wanted = usize::try_from(state % 67).expect("small") + 1;
        let (piece, rest) = bytes.split_at(wanted.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
