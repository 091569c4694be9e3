//! RFC 7541, appendix C.

use super::{Decoder, Encoder, Indexing, decoded, encoded};

type Fields = &'static [(&'static str, &'static str)];

/// A block, its fields, and the bytes of the table behind it.
type Row = (&'static str, Fields, usize);

const GET: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/")];

const FIRST: &[(&str, &str)] = &[GET[0], GET[1], GET[2], (":authority", "www.example.com")];

const SECOND: &[(&str, &str)] = &[
    GET[0],
    GET[1],
    GET[2],
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];

const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

const DATE: (&str, &str) = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
const LOCATION: (&str, &str) = ("location", "https://www.example.com");

const FOUND: &[(&str, &str)] = &[
    (":status", "302"),
    ("cache-control", "private"),
    DATE,
    LOCATION,
];
const TEMPORARY: &[(&str, &str)] = &[
    (":status", "307"),
    ("cache-control", "private"),
    DATE,
    LOCATION,
];
const OK: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    LOCATION,
    ("content-encoding", "gzip"),
    (
        "set-cookie",
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ),
];

/// Messages of one connection: the table's size, then each as an encoder with Huffman code and indexing writes it, as one
/// without the code does, its fields, and the bytes of the table behind it.
type Connection = (usize, [([&'static str; 2], Fields, usize); 3]);

/// C.3 to C.6. (C.6 codes "307" although that takes as many bytes.)
const CONNECTIONS: [Connection; 2] = [
    (
        4_096,
        [
            (
                [
                    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                    "828684410f7777772e6578616d706c652e636f6d",
                ],
                FIRST,
                57,
            ),
            (
                ["828684be5886a8eb10649cbf", "828684be58086e6f2d6361636865"],
                SECOND,
                110,
            ),
            (
                [
                    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
                    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
                ],
                THIRD,
                164,
            ),
        ],
    ),
    (
        256,
        [
            (
                [
                    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
                    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
                ],
                FOUND,
                222,
            ),
            (["4803333037c1c0bf", "4803333037c1c0bf"], TEMPORARY, 222),
            (
                [
                    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
                ],
                OK,
                215,
            ),
        ],
    ),
];

/// C.2: single fields.
const SINGLE: [Row; 4] = [
    (
        "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
        &[("custom-key", "custom-header")],
        55,
    ),
    (
        "040c2f73616d706c652f70617468",
        &[(":path", "/sample/path")],
        0,
    ),
    (
        "100870617373776f726406736563726574",
        &[("password", "secret")],
        0,
    ),
    ("82", &[(":method", "GET")], 0),
];

#[test]
fn single_fields_are_decoded() {
    for row in SINGLE {
        check(&mut Decoder::new(4_096), row);
    }
}

#[test]
fn messages_of_a_connection_are_decoded() {
    for (table_bytes, messages) in CONNECTIONS {
        for form in 0..2 {
            let mut decoder = Decoder::new(table_bytes);
            for (blocks, fields, bytes) in messages {
                check(&mut decoder, (blocks[form], fields, bytes));
            }
        }
    }
}

#[test]
fn messages_of_a_connection_are_encoded() {
    for (table_bytes, messages) in CONNECTIONS {
        let mut encoder = Encoder::new();
        encoder.set_table_bytes_max(u32::try_from(table_bytes).unwrap());
        encoded(&mut encoder, &[], Indexing::Incremental);
        for ([coded, _], fields, bytes) in messages {
            let written = encoded(&mut encoder, fields, Indexing::Incremental);
            assert_eq!(hex(&written), coded);
            assert_eq!(encoder.table_bytes(), bytes);
        }
    }
}

fn check(decoder: &mut Decoder, (block, fields, bytes): Row) {
    let block: Vec<u8> = (0..block.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&block[at..at + 2], 16).unwrap())
        .collect();
    let expected: Vec<_> = fields
        .iter()
        .map(|(name, value)| Some((name.as_bytes().to_vec(), value.as_bytes().to_vec())))
        .collect();
    assert_eq!(decoded(decoder, &block), Ok(expected));
    assert_eq!(decoder.table_bytes(), bytes);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
