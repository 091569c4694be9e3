//! Any bytes as what a connection's peer sends and what those do who hold its streams, or as a legal exchange.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mesh_fuzz::check_connection(bytes));
