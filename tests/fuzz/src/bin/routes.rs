//! Any bytes as a file of manifests.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| mesh_fuzz::check_routes(text));
