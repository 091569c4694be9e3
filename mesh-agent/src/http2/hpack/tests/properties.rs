//! Many blocks of a connection, with another implementation at its other end.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Decoder, Encoder, Indexing, decoded};
use crate::http2::hpack::number;

/// A field, and whether it is malformed.
#[derive(Clone, Debug)]
struct Sample {
    name: Vec<u8>,
    value: Vec<u8>,
    is_malformed: bool,
}

fn sample() -> impl Strategy<Value = Sample> {
    let good = prop_oneof![
        4 => select(vec![
            (":method", "POST"),
            (":method", "PURGE"),
            (":scheme", "http"),
            (":scheme", "grpc"),
            (":path", "/shop.Inventory/Reserve"),
            (":authority", "inventory.shop.svc:50051"),
            (":status", "200"),
            (":status", "418"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-status", "0"),
            ("accept-encoding", "gzip, deflate"),
            ("accept", ""),
        ]).prop_map(|(name, value)| (name.to_owned(), value.to_owned())),
        2 => ("x-[ab]", "[a-z]{0,2}"),
        2 => ("[a-z][a-z0-9-]{0,20}-x", "[ -~]{0,60}"),
        1 => ("x-long", "[0-9]{300,900}"),
        1 => (select(vec!["cookie", "date"]).prop_map(str::to_owned), "[ -~]{0,40}"),
    ];
    let bad = select(vec![
        ("", ""),
        ("X-Upper", "a"),
        (":path", "relative"),
        (":unknown", ""),
        ("x-a", "a\0"),
        ("connection", "close"),
    ]);
    prop_oneof![
        8 => good.prop_map(|(name, value)| Sample {
            name: name.into(),
            value: value.into(),
            is_malformed: false,
        }),
        1 => bad.prop_map(|(name, value)| Sample {
            name: name.into(),
            value: value.into(),
            is_malformed: true,
        }),
    ]
}

/// What happens between two blocks: sizes of the table, then fields.
fn blocks() -> impl Strategy<Value = Vec<(Vec<u32>, Vec<Sample>)>> {
    let size = select(vec![0, 33, 64, 200, 1_000, 4_096]);
    let sizes = prop_oneof![4 => Just(vec![]), 1 => vec(size, 1..3)];
    vec((sizes, vec(sample(), 0..12)), 1..12)
}

fn check(decoder: &mut Decoder, block: &[u8], samples: &[Sample]) -> Result<(), TestCaseError> {
    let fields = decoded(decoder, block).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(fields.len(), samples.len());
    for (field, sample) in fields.into_iter().zip(samples) {
        let expected = (!sample.is_malformed).then(|| (sample.name.clone(), sample.value.clone()));
        prop_assert_eq!(field, expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_another_encoder_writes_is_decoded(blocks in blocks()) {
        let mut encoder = fluke_hpack::Encoder::new();
        let mut decoder = Decoder::new(4_096);
        for (sizes, samples) in &blocks {
            let mut block = BytesMut::new();
            for bytes in sizes {
                number::write(&mut block, 0x20, 5, *bytes as usize);
                encoder.set_max_table_size(*bytes as usize);
            }
            let fields = samples.iter().map(|sample| (&*sample.name, &*sample.value));
            block.extend_from_slice(&encoder.encode(fields));
            check(&mut decoder, &block, samples)?;
        }
    }

    #[test]
    fn another_decoder_reads_what_is_encoded_and_so_does_ours(
        blocks in blocks(),
        how in vec(select(vec![Indexing::Incremental, Indexing::Incremental, Indexing::Without, Indexing::Never]), 12),
    ) {
        let mut encoder = Encoder::new();
        let mut other = fluke_hpack::Decoder::new();
        let mut decoder = Decoder::new(4_096);
        for (sizes, samples) in &blocks {
            for bytes in sizes {
                encoder.set_table_bytes_max(*bytes);
            }
            let mut block = BytesMut::new();
            encoder.begin(&mut block);
            for (sample, indexing) in samples.iter().zip(&how) {
                encoder.field(&sample.name, &sample.value, *indexing, &mut block);
            }
            check(&mut decoder, &block, samples)?;
            prop_assert_eq!(encoder.table_bytes(), decoder.table_bytes());
            // The other one does not take a block of nothing but sizes.
            if samples.is_empty() {
                for bytes in sizes {
                    other.set_max_table_size(*bytes as usize);
                }
                continue;
            }
            let fields = other.decode(&block).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
            let expected: Vec<_> = samples.iter().map(|sample| (sample.name.clone(), sample.value.clone())).collect();
            prop_assert_eq!(fields, expected);
        }
    }

    #[test]
    fn any_bytes_are_fields_or_refused(blocks in vec(vec(any::<u8>(), 0..200), 1..4)) {
        let mut decoder = Decoder::new(4_096);
        for block in &blocks {
            let is_refused = decoded(&mut decoder, block).is_err();
            prop_assert!(decoder.table_bytes() <= 4_096);
            if is_refused {
                break;
            }
        }
    }
}
