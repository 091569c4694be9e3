//! Any bytes as the header blocks of a connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mesh_fuzz::check_blocks(bytes));
