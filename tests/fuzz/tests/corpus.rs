//! Every input that a fuzzer found worth keeping, and some that nobody chose.

use std::fs;
use std::path::{Path, PathBuf};

use mesh_fuzz::{
    check_blocks, check_bytes, check_calls, check_connection, check_frames, check_grpc,
    check_proxied, check_routes,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn inputs(target: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let entries = fs::read_dir(&directory).expect("the corpus is in the repository");
    entries
        .map(|entry| entry.expect("a directory can be listed").path())
        .collect()
}

#[expect(clippy::print_stdout, reason = "a failure names its input")]
fn check_corpus(target: &str, check: fn(&[u8])) {
    let inputs = inputs(target);
    assert!(inputs.len() > 10, "{target}");
    for input in inputs {
        println!("{}", input.display());
        check(&fs::read(&input).expect("an input can be read"));
    }
}

#[test]
fn the_corpus_of_streams_is_agreed_upon() {
    check_corpus("stream", check_bytes);
}

#[test]
fn the_corpus_of_calls_is_agreed_upon() {
    check_corpus("calls", check_calls);
}

#[test]
fn the_corpus_of_routes_is_read_and_looked_up() {
    check_corpus("routes", check_routes);
}

#[test]
fn the_corpus_of_grpc_is_read_as_specified() {
    check_corpus("grpc", check_grpc);
}

#[test]
fn the_corpus_of_header_blocks_is_agreed_upon() {
    check_corpus("hpack", check_blocks);
}

#[test]
fn the_corpus_of_the_proxy_s_connections_is_agreed_upon() {
    check_corpus("http2", check_connection);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn values_of_grpc_are_read_as_specified(value in "[0-9+%/a-zHMS -]{0,12}") {
        check_grpc(value.as_bytes());
    }

    #[test]
    fn legal_exchanges_are_agreed_upon(choices in vec(any::<u8>(), 0..600)) {
        check_calls(&choices);
    }

    #[test]
    fn any_bytes_are_agreed_upon(bytes in vec(any::<u8>(), 0..300)) {
        check_bytes(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_header_blocks_are_agreed_upon(bytes in vec(any::<u8>(), 0..300)) {
        check_blocks(&bytes);
    }

    #[test]
    fn any_frames_leave_the_proxy_s_connections_legal_and_within_their_bounds(bytes in vec(any::<u8>(), 0..600)) {
        check_frames(&bytes);
    }

    #[test]
    fn the_proxy_s_connections_read_what_the_oracle_reads(bytes in vec(any::<u8>(), 0..600)) {
        check_proxied(&bytes);
    }
}
