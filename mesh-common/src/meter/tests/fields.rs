//! Header compression: names, references, integers.

use super::wire::{
    CODINGS, Coding, END_HEADERS, END_STREAM, LITERALS, Literal, encoded, field, headers, huffman,
    indexed, integer, named, plain, resize, string,
};
use super::{Event, HUFFMAN_BIT, KEY, Mode, after_settings, block, events, found, server};
use crate::meter::{Content, UNKNOWN, digest};

const NAMES: [&[u8]; 6] = [
    b":path",
    b":status",
    b"grpc-status",
    b"content-type",
    b"grpc-timeout",
    b"traceparent",
];

/// The direction's headers must be lost by this block.
#[track_caller]
fn check_malformed(fields: &[u8]) {
    let mut decoder = server();
    let frame = headers(END_HEADERS, 1, fields);
    let lost = Event::HeadersLost {
        stream: 1,
        ends_stream: false,
    };
    assert_eq!(events(&mut decoder, &after_settings(&frame)), [lost]);
    assert_eq!(decoder.mode, Mode::FramesOnly as u32);
}

#[test]
fn names_are_known_in_both_codings_and_every_representation() {
    for coding in CODINGS {
        for literal in LITERALS {
            let known: Vec<u8> = NAMES
                .iter()
                .flat_map(|name| {
                    let value: &[u8] = match *name {
                        b":path" => b"/a/b",
                        b":status" => b"200",
                        b"grpc-status" => b"5",
                        b"content-type" => b"application/grpc",
                        b"grpc-timeout" => b"1S",
                        _ => b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                    };
                    field(literal, coding, name, value)
                })
                .collect();
            let block = block(&known);
            let what = format!("{coding:?} {literal:?}");
            assert_ne!(block.path, 0, "{what}");
            assert_eq!(block.http_status, 200, "{what}");
            assert_eq!(block.grpc_status, 5, "{what}");
            assert_eq!(block.content, Content::Grpc as u32, "{what}");
            assert_eq!(block.timeout_us, 1_000_000, "{what}");
            assert_ne!(block.trace_parent_length, 0, "{what}");
            assert_eq!(block.fields, 6, "{what}");
        }
    }
}

#[test]
fn names_that_are_nearly_known_are_others() {
    for coding in CODINGS {
        for name in NAMES {
            for other in [
                &name[1..],
                &[name, b"x"].concat(),
                &name.to_ascii_uppercase(),
            ] {
                let block = block(&field(Literal::NotInserted, coding, other, b"7"));
                let said = (block.path, block.grpc_status, block.http_status);
                assert_eq!(said, (0, UNKNOWN, UNKNOWN), "{other:?}");
                assert_eq!((block.content, block.timeout_us), (0, 0), "{other:?}");
            }
        }
    }
}

#[test]
fn the_static_table_names_paths_and_statuses() {
    let statuses = [200, 204, 206, 304, 400, 404, 500];
    for (index, status) in (8..).zip(statuses) {
        assert_eq!(block(&indexed(index)).http_status, status);
    }
    for index in [4, 5] {
        assert_eq!(block(&indexed(index)).path, index as u64);
        assert_eq!(block(&indexed(index)).path_length, 0);
    }
    for index in (1..=61).filter(|index| !(4..=5).contains(index) && !(8..=14).contains(index)) {
        let block = block(&indexed(index));
        assert_eq!((block.path, block.http_status), (0, UNKNOWN), "{index}");
        let content = if index == 31 {
            Content::Other
        } else {
            Content::Unknown
        };
        assert_eq!(block.content, content as u32, "{index}");
    }
}

#[test]
fn static_names_take_literal_values() {
    for coding in CODINGS {
        for index in [4, 5] {
            let path = block(&named(Literal::NotInserted, index, coding, b"/a/b"));
            let direct = block(&field(Literal::NotInserted, coding, b":path", b"/a/b"));
            assert_eq!(path.path, direct.path);
        }
        for index in 8..=14 {
            let status = block(&named(Literal::NotInserted, index, coding, b"418"));
            assert_eq!(status.http_status, 418);
        }
        let content = block(&named(
            Literal::NotInserted,
            31,
            coding,
            b"application/grpc",
        ));
        assert_eq!(content.content, Content::Grpc as u32);
    }
}

#[test]
fn a_path_is_known_by_its_encoded_bytes() {
    let path = b"/helloworld.Greeter/SayHello";
    for coding in CODINGS {
        let fields = named(Literal::Inserted, 4, coding, path);
        let mut decoder = server();
        let frames = [
            headers(END_HEADERS, 1, &fields),
            headers(END_HEADERS, 3, &indexed(62)),
        ];
        let found = found(&mut decoder, &after_settings(&frames.concat()));
        let bytes = encoded(coding, path);
        let is_huffman = coding == Coding::Huffman;
        let expected = digest::of(KEY, &bytes, is_huffman);
        assert_eq!(found[0].block.path, expected);
        assert_eq!(found[0].path, bytes);
        assert_eq!(found[0].block.path_length & HUFFMAN_BIT != 0, is_huffman);
        assert_eq!(found[1].block.path, expected);
        assert_eq!(found[1].block.path_length, 0);
    }
}

#[test]
fn references_count_from_the_newest_through_hundreds_of_inserts() {
    // Five bytes for the name and its value's length leave 32 of overhead: 128 empty entries would fit, these do not
    // matter to the meter, which knows no sizes.
    let mut decoder = server();
    drop(found(&mut decoder, &after_settings(&[])));
    for number in 0..500_usize {
        let path = format!("/s/m{number}");
        let insert = named(Literal::Inserted, 4, Coding::Raw, path.as_bytes());
        drop(found(&mut decoder, &headers(END_HEADERS, 1, &insert)));
        for age in [0, 1, 63, 64, 126, 127] {
            let Some(older) = number.checked_sub(age) else {
                continue;
            };
            let found = found(&mut decoder, &headers(END_HEADERS, 1, &indexed(62 + age)));
            let text = format!("/s/m{older}");
            let expected = digest::of(KEY, text.as_bytes(), false);
            assert_eq!(found[0].block.path, expected, "{number} {age}");
            assert_eq!(found[0].block.unknown_references, 0);
        }
    }
}

#[test]
fn an_inserted_name_serves_a_literal_value() {
    let fields = [
        field(Literal::Inserted, Coding::Huffman, b"grpc-status", b"0"),
        named(Literal::Inserted, 62, Coding::Raw, b"14"),
        named(Literal::NotInserted, 63, Coding::Huffman, b"9"),
    ]
    .concat();
    assert_eq!(block(&fields).grpc_status, 9);
    let again = [&fields[..], &indexed(62)].concat();
    assert_eq!(block(&again).grpc_status, 14);
    let first = [&fields[..], &indexed(63)].concat();
    assert_eq!(block(&first).grpc_status, 0);
}

#[test]
fn every_insertion_counts_whatever_its_name() {
    let fields = [
        field(Literal::Inserted, Coding::Raw, b"grpc-status", b"3"),
        field(Literal::Inserted, Coding::Raw, b"x-request-id", b"a"),
        named(Literal::Inserted, 38, Coding::Raw, b"mesh"),
        named(Literal::NotInserted, 38, Coding::Raw, b"mesh"),
        named(Literal::NeverInserted, 38, Coding::Raw, b"mesh"),
        resize(4_096),
        indexed(64),
    ];
    assert_eq!(block(&fields.concat()).grpc_status, 3);
}

#[test]
fn table_size_updates_change_nothing_that_is_legal() {
    let status = field(Literal::Inserted, Coding::Raw, b"grpc-status", b"3");
    for bytes in [0, 30, 31, 4_096, 1 << 20] {
        let fields = [resize(0), resize(bytes), status.clone(), indexed(62)].concat();
        let block = block(&fields);
        assert_eq!(block.grpc_status, 3, "{bytes}");
        assert_eq!(block.fields, 2, "{bytes}");
    }
}

#[test]
fn the_last_of_several_fields_counts() {
    let fields = [plain(b"grpc-status", b"3"), plain(b"grpc-status", b"4")].concat();
    assert_eq!(block(&fields).grpc_status, 4);
}

#[test]
fn a_reference_does_not_take_the_text_of_a_literal_before_it() {
    let fields = [
        named(Literal::Inserted, 4, Coding::Raw, b"/real/Method"),
        named(Literal::NotInserted, 4, Coding::Raw, b"/false/Text"),
        indexed(62),
    ];
    let block = block(&fields.concat());
    assert_eq!(block.path, digest::of(KEY, b"/real/Method", false));
    assert_eq!(block.path_length, 0);
}

#[test]
fn strings_of_any_length_are_passed_to_their_end() {
    for length in [
        0, 1, 7, 8, 9, 126, 127, 128, 253, 254, 255, 256, 16_383, 16_384, 70_000,
    ] {
        let long = vec![b'a'; length];
        for coding in CODINGS {
            let fields = [
                plain(b"x", b"y"),
                field(Literal::Inserted, coding, b"x-long", &long),
                field(Literal::NotInserted, coding, &long, b"7"),
                named(Literal::NotInserted, 4, coding, &long),
                plain(b"grpc-status", b"7"),
            ];
            let block = block(&fields.concat());
            let bytes = encoded(coding, &long);
            assert_eq!(block.grpc_status, 7, "{length} {coding:?}");
            assert_eq!(block.fields, 5);
            let expected = digest::of(KEY, &bytes, coding == Coding::Huffman);
            assert_eq!(block.path, expected, "{length} {coding:?}");
            assert_eq!((block.path_length & !HUFFMAN_BIT) as usize, bytes.len());
        }
    }
}

#[test]
fn long_paths_are_kept_cut_and_told_apart_to_their_end() {
    let cut = 160;
    let one = [b"/", &[b'a'; 300][..]].concat();
    let other = [&one[..one.len() - 1], b"b"].concat();
    let digests = [one, other].map(|path| {
        let fields = named(Literal::NotInserted, 4, Coding::Raw, &path);
        let frame = headers(END_HEADERS | END_STREAM, 1, &fields);
        let found = found(&mut server(), &after_settings(&frame));
        assert_eq!(found[0].path, path[..cut]);
        assert_eq!(found[0].block.path_length, 301);
        found[0].block.path
    });
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn integers_may_be_written_longer_than_needed_up_to_four_bytes_more() {
    // grpc-status with the value's length, one, as 127 - 126: not possible; the index 15 as 15 + 0 is.
    let fields = [&[0x0f, 0x10][..], &string(Coding::Raw, b"application/grpc")];
    assert_eq!(block(&fields.concat()).content, Content::Grpc as u32);
    let fields = [
        &[0x0f, 0x90, 0x80, 0x80, 0x00][..],
        &string(Coding::Raw, b"application/grpc"),
    ];
    assert_eq!(block(&fields.concat()).content, Content::Grpc as u32);
}

#[test]
fn integers_that_overflow_are_malformed() {
    let too_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
    check_malformed(&too_long);
    check_malformed(&[&[0x7f][..], &too_long[1..]].concat());
    check_malformed(&[&[0x3f][..], &too_long[1..]].concat());
    check_malformed(&[&[0x0f][..], &too_long[1..]].concat());
    check_malformed(&[&[0x00, 0x7f][..], &too_long[1..]].concat());
    check_malformed(&[&[0x04, 0xff][..], &too_long[1..]].concat());
    check_malformed(&[&[0x04][..], &integer(0, 7, (1 << 24) + 1)].concat());
}

#[test]
fn an_index_of_zero_is_malformed() {
    check_malformed(&[0x80]);
}

#[test]
fn references_beyond_what_was_inserted_are_unknown_not_guessed() {
    for index in [62, 63, 62 + 128, 5_000, 1 << 27] {
        let block = block(&indexed(index));
        assert_eq!(block.unknown_references, 1, "{index}");
    }
    let fields = [
        field(Literal::Inserted, Coding::Raw, b"grpc-status", b"0"),
        indexed(63),
        named(Literal::NotInserted, 63, Coding::Raw, b"0"),
    ];
    let block = block(&fields.concat());
    assert_eq!((block.unknown_references, block.grpc_status), (2, 0));
}

#[test]
fn huffman_codes_are_those_of_the_rfc() {
    // RFC 7541 appendix C.4.1.
    let coded = [
        0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];
    assert_eq!(huffman(b"www.example.com"), coded);
}
