//! Both directions against the RFC's examples, and against another implementation.

mod examples;
mod properties;

use bytes::BytesMut;

use super::{Decoder, Encoder, Field, Indexing, Invalid};

type Texts = (Vec<u8>, Vec<u8>);

/// Decodes a block to texts, with nothing for a malformed field.
fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Option<Texts>>, Invalid> {
    let mut fields = vec![];
    decoder.decode(block, |field, bytes| {
        let texts = texts(field);
        if let Some((name, value)) = &texts {
            assert_eq!(bytes, name.len() + value.len() + 32);
        }
        fields.push(texts);
    })?;
    Ok(fields)
}

fn texts(field: &Field) -> Option<Texts> {
    let (name, value) = match field {
        Field::Method(method) => (":method", method.as_str().as_bytes()),
        Field::Scheme(scheme) => (":scheme", scheme.as_str().as_bytes()),
        Field::Authority(authority) => (":authority", authority.as_str().as_bytes()),
        Field::Path(path) => (":path", path.as_str().as_bytes()),
        Field::Status(status) => (":status", status.as_str().as_bytes()),
        Field::Header(name, value) => (name.as_str(), value.as_bytes()),
        Field::Malformed => return None,
    };
    Some((name.into(), value.into()))
}

fn encoded(encoder: &mut Encoder, fields: &[(&str, &str)], indexing: Indexing) -> BytesMut {
    let mut out = BytesMut::new();
    encoder.begin(&mut out);
    for (name, value) in fields {
        encoder.field(name.as_bytes(), value.as_bytes(), indexing, &mut out);
    }
    out
}

#[test]
fn a_block_that_is_not_one_is_refused() {
    let rows: [(&[u8], Invalid); 11] = [
        (&[0x80], Invalid::Index(0)),
        (&[0xbe], Invalid::Index(62)),
        (&[0x7e, 1, b'x'], Invalid::Index(62)),
        (&[0xff, 0xff, 0xff, 0xff, 0x7f], Invalid::Number),
        (&[0x40], Invalid::Truncated),
        (&[0x40, 2, b'x'], Invalid::Truncated),
        (&[0x40, 1, b'x'], Invalid::Truncated),
        (&[0x40, 1, b'x', 0x81], Invalid::Truncated),
        (&[0x40, 1, b'x', 0x81, 0xff], Invalid::Huffman),
        (&[0x3f, 0xe2, 0x1f], Invalid::TableBytes(4_097)),
        (&[0x82, 0x20], Invalid::LateResize),
    ];
    for (block, expected) in rows {
        let result = Decoder::new(4_096).decode(block, |_, _| {});
        assert_eq!(result, Err(expected), "{block:02x?}");
    }
}

#[test]
fn a_malformed_field_takes_its_place_and_gives_its_name() {
    let mut decoder = Decoder::new(4_096);
    // Inserted: "x" with a NUL in its value, and "X", which is no name; then both names again with good values.
    let block = b"\x40\x01x\x02a\0\x40\x01X\x01b\x0f\x30\x01c\x0f\x2f\x01d\xbf\xbe";
    let fields = decoded(&mut decoder, block).unwrap();
    let good = Some((b"x".to_vec(), b"c".to_vec()));
    assert_eq!(fields, [None, None, good, None, None, None]);
    assert_eq!(decoder.table_bytes(), 35 + 34);
}

#[test]
fn what_nobody_may_store_stays_so() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4_096);
    let fields = [("authorization", "secret"), ("x-key", "secret")];
    for _ in 0..2 {
        let block = encoded(&mut encoder, &fields, Indexing::Never);
        let mut sensitive = 0;
        let count = |field: &Field, _| {
            sensitive += u8::from(matches!(field, Field::Header(_, value) if value.is_sensitive()));
        };
        decoder.decode(&block, count).unwrap();
        assert_eq!(sensitive, 2);
        assert_eq!((encoder.table_bytes(), decoder.table_bytes()), (0, 0));
    }
    // Indexed by somebody else on the same connection, it is still spelt out.
    encoded(&mut encoder, &fields, Indexing::Incremental);
    let block = encoded(&mut encoder, &fields, Indexing::Never);
    assert!(
        block
            .iter()
            .all(|byte| byte & 0x80 == 0 || block.len() > 10)
    );
    assert_eq!(block[0], 0x1f, "a name by index, the value in full");
}

#[test]
fn what_comes_again_is_a_byte() {
    let mut encoder = Encoder::new();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.Inventory/Reserve"),
        (":authority", "inventory.shop.svc:50051"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "grpc-go/1.70.0"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    let first = encoded(&mut encoder, &fields, Indexing::Incremental);
    let second = encoded(&mut encoder, &fields, Indexing::Incremental);
    assert!(first.len() > 100, "{}", first.len());
    assert_eq!(second.len(), fields.len());
}

#[test]
fn many_fields_are_found_again_as_long_as_they_fit() {
    // 64 entries of 50 bytes and 64 names that are in no table.
    let names: Vec<String> = (0..64).map(|nth| format!("x-name-{nth:03}")).collect();
    let fields: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), "a-value!"))
        .collect();
    let mut encoder = Encoder::new();
    encoded(&mut encoder, &fields, Indexing::Incremental);
    let again = encoded(&mut encoder, &fields, Indexing::Incremental);
    assert!(again.len() <= 2 * fields.len(), "{}", again.len());
}

#[test]
fn a_field_that_would_sweep_the_table_is_not_inserted() {
    let mut encoder = Encoder::new();
    let large = "v".repeat(3_100);
    encoded(
        &mut encoder,
        &[("x-small", "v"), ("x-large", &large)],
        Indexing::Incremental,
    );
    assert_eq!(encoder.table_bytes(), 7 + 1 + 32);
}

#[test]
fn the_table_s_sizes_are_told_with_the_next_block() {
    // (what the peer said since the last block, what begins the next one)
    let rows: [(&[u32], &[u8]); 6] = [
        (&[65_536], &[]),
        (&[4_096], &[]),
        (&[0], &[0x20]),
        (&[4_096], &[0x3f, 0xe1, 0x1f]),
        (&[0, 100, 4_096], &[0x20, 0x3f, 0xe1, 0x1f]),
        (&[200, 100], &[0x3f, 0x45]),
    ];
    let mut encoder = Encoder::new();
    for (said, expected) in rows {
        for bytes in said {
            encoder.set_table_bytes_max(*bytes);
        }
        let block = encoded(&mut encoder, &[], Indexing::Incremental);
        assert_eq!(block, expected, "{said:?}");
        Decoder::new(4_096).decode(&block, |_, _| {}).unwrap();
    }
}

#[test]
fn paths_that_are_spelt_out_again_and_again_are_what_they_were() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4_096);
    let long = format!("/{}", "p".repeat(300));
    for nth in 0..60 {
        let path = format!("/shop.Inventory/{}", nth % 9);
        for (path, is_malformed) in [(path.as_str(), false), ("relative", true), (&long, false)] {
            let block = encoded(&mut encoder, &[(":path", path)], Indexing::Without);
            assert!(block.len() > 5);
            let expected = (!is_malformed).then(|| (b":path".to_vec(), path.as_bytes().to_vec()));
            assert_eq!(decoded(&mut decoder, &block), Ok(vec![expected]));
        }
    }
}
