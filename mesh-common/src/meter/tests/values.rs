//! What values say.

use super::wire::{CODINGS, Coding, Literal, encoded, field, named, string};
use super::{HUFFMAN_BIT, block};
use crate::meter::digest::mix;
use crate::meter::{Block, Content, StatusCode, UNKNOWN, grpc_status};
use std::collections::HashSet;

fn with(coding: Coding, name: &[u8], value: &[u8]) -> Block {
    block(&field(Literal::NotInserted, coding, name, value))
}

/// A value whose encoded bytes are given.
fn with_coded(name: &[u8], coded: &[u8]) -> Block {
    let length = u8::try_from(coded.len()).expect("short");
    let name = string(Coding::Raw, name);
    block(&[&[0][..], &name, &[0x80 | length], coded].concat())
}

#[test]
fn grpc_statuses_are_read_in_both_codings() {
    for coding in CODINGS {
        for status in 0..=999_u32 {
            let block = with(coding, b"grpc-status", status.to_string().as_bytes());
            assert_eq!(block.grpc_status, status, "{coding:?}");
        }
        for padded in ["00", "007", "016"] {
            let block = with(coding, b"grpc-status", padded.as_bytes());
            assert_eq!(Ok(block.grpc_status), padded.parse(), "{coding:?}");
        }
    }
}

#[test]
fn what_is_no_number_is_an_unknown_status() {
    for coding in CODINGS {
        let texts = [
            "", " ", "0 ", " 0", "-1", "+1", "a", "0a", "1000", "0000", "0x0", "OK", "\0",
        ];
        for text in texts.iter().chain(&["99999999999999999999999999"]) {
            for name in [&b"grpc-status"[..], b":status"] {
                let block = with(coding, name, text.as_bytes());
                let said = (block.grpc_status, block.http_status);
                assert_eq!(said, (UNKNOWN, UNKNOWN), "{text:?} {coding:?}");
            }
        }
    }
}

#[test]
fn huffman_padding_that_is_not_ones_or_a_whole_byte_is_no_number() {
    // '0' is 00000.
    assert_eq!(with_coded(b"grpc-status", &[0b0000_0111]).grpc_status, 0);
    assert_eq!(
        with_coded(b"grpc-status", &[0b0000_0110]).grpc_status,
        UNKNOWN
    );
    assert_eq!(
        with_coded(b"grpc-status", &[0x07, 0xff]).grpc_status,
        UNKNOWN
    );
    assert_eq!(with_coded(b"grpc-status", &[0xff]).grpc_status, UNKNOWN);
    // "1S" is 00001 1101110 and four of padding.
    assert_eq!(
        with_coded(b"grpc-timeout", &[0x0e, 0xef]).timeout_us,
        1_000_000
    );
    assert_eq!(with_coded(b"grpc-timeout", &[0x0e, 0xe0]).timeout_us, 0);
    assert_eq!(
        with_coded(b"grpc-timeout", &[0x0e, 0xef, 0xff]).timeout_us,
        0
    );
    assert_eq!(with_coded(b"grpc-timeout", &[0x0e]).timeout_us, 0);
}

#[test]
fn a_status_beyond_grpcs_is_unknown_and_one_that_was_not_seen_is_unseen() {
    for (status, label) in (0..).zip(StatusCode::ALL.iter().take(17)) {
        assert_eq!(grpc_status(status), label.0);
    }
    for beyond in [17, 18, 99, 999] {
        assert_eq!(grpc_status(beyond), StatusCode::Unknown);
    }
    assert_eq!(grpc_status(UNKNOWN), StatusCode::Unseen);
}

#[test]
fn http_statuses_are_read_in_both_codings() {
    for coding in CODINGS {
        for status in 100..=599_u32 {
            let block = with(coding, b":status", status.to_string().as_bytes());
            assert_eq!(block.http_status, status);
        }
    }
}

#[test]
fn timeouts_are_read_in_every_unit_and_coding() {
    let rows = [
        ("1H", 3_600_000_000),
        ("1M", 60_000_000),
        ("1S", 1_000_000),
        ("1m", 1_000),
        ("1u", 1),
        ("1n", 1),
        ("999n", 1),
        ("1999n", 1),
        ("2000n", 2),
        ("0S", 0),
        ("0n", 0),
        ("00000005S", 5_000_000),
        ("99999999n", 99_999),
        ("99999999u", 99_999_999),
        ("99999999m", 99_999_999_000),
        ("99999999S", 99_999_999_000_000),
        ("99999999M", 5_999_999_940_000_000),
        // More than an entry of the dynamic table can hold.
        ("99999999H", (1 << 56) - 1),
        ("34567890m", 34_567_890_000),
    ];
    for (text, timeout_us) in rows {
        for coding in CODINGS {
            let block = with(coding, b"grpc-timeout", text.as_bytes());
            assert_eq!(block.timeout_us, timeout_us, "{text} {coding:?}");
        }
    }
}

#[test]
fn a_malformed_timeout_is_none() {
    for coding in CODINGS {
        for text in [
            "",
            "S",
            "5",
            "5s",
            "5h",
            "5SS",
            "5S ",
            " 5S",
            "-5S",
            "123456789S",
            "5.0S",
            "5Sn",
        ] {
            let block = with(coding, b"grpc-timeout", text.as_bytes());
            assert_eq!(block.timeout_us, 0, "{text:?} {coding:?}");
        }
    }
}

#[test]
fn grpc_and_its_kinds_are_grpc_and_nothing_else_is() {
    let rows = [
        ("application/grpc", Content::Grpc),
        ("application/grpc+proto", Content::Grpc),
        ("application/grpc+json", Content::Grpc),
        ("application/grpc+", Content::Grpc),
        ("application/grpc;charset=utf-8", Content::Grpc),
        ("application/grpc;", Content::Grpc),
        ("application/grpc-web", Content::Other),
        ("application/grpc-web+proto", Content::Other),
        ("application/grpcx", Content::Other),
        ("application/grpc\0", Content::Other),
        ("application/grp", Content::Other),
        ("application/json", Content::Other),
        ("text/html; charset=utf-8", Content::Other),
        ("", Content::Other),
    ];
    for (text, content) in rows {
        for coding in CODINGS {
            let block = with(coding, b"content-type", text.as_bytes());
            assert_eq!(block.content, content as u32, "{text:?} {coding:?}");
        }
    }
    for last in 0..=255 {
        let text = [&b"application/grpc"[..], &[last]].concat();
        for coding in CODINGS {
            let is_grpc = last == b'+' || last == b';';
            let content = if is_grpc {
                Content::Grpc
            } else {
                Content::Other
            };
            let block = with(coding, b"content-type", &text);
            assert_eq!(block.content, content as u32, "{last} {coding:?}");
        }
    }
}

#[test]
fn a_traceparent_is_kept_as_it_was_encoded() {
    let text = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for coding in CODINGS {
        let block = with(coding, b"traceparent", text);
        let bytes = encoded(coding, text);
        let marked = block.trace_parent_length;
        assert_eq!((marked & !HUFFMAN_BIT) as usize, bytes.len());
        assert_eq!(marked & HUFFMAN_BIT != 0, coding == Coding::Huffman);
        let kept: Vec<u8> = block
            .trace_parent
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .take(bytes.len())
            .collect();
        assert_eq!(kept, bytes);
    }
}

#[test]
fn a_traceparent_that_is_too_long_is_none_even_after_one_that_is_not() {
    let short = field(
        Literal::NotInserted,
        Coding::Raw,
        b"traceparent",
        &[b'0'; 56],
    );
    assert_eq!(block(&short).trace_parent_length, 56);
    let long = field(
        Literal::NotInserted,
        Coding::Raw,
        b"traceparent",
        &[b'0'; 57],
    );
    assert_eq!(block(&long).trace_parent_length, 0);
    assert_eq!(block(&[short, long].concat()).trace_parent_length, 0);
}

#[test]
fn one_text_in_two_codings_is_two_paths() {
    let [raw, huffman] =
        CODINGS.map(|coding| block(&named(Literal::NotInserted, 4, coding, b"/a/b")).path);
    assert_ne!(raw, huffman);
    // The same bytes, once as they are and once as Huffman codes.
    let bytes = encoded(Coding::Huffman, b"/a/b");
    let as_text = block(&named(Literal::NotInserted, 4, Coding::Raw, &bytes)).path;
    assert_ne!(as_text, huffman);
}

#[test]
fn a_digest_never_changes_alike_under_two_keys() {
    // Whoever could foresee the change could undo it with the next eight bytes, and so make two paths with one digest.
    for bit in 0..64 {
        let changes: HashSet<u64> = (0..1_000)
            .map(|key: u64| {
                let key = key.wrapping_mul(0xa076_1d64_78bd_642f);
                mix(key, 0) ^ mix(key, 1 << bit)
            })
            .collect();
        assert!(changes.len() > 990, "bit {bit}: {}", changes.len());
    }
}
