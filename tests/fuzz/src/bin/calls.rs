//! Any bytes as the choices that make a legal exchange.
#![no_main]

libfuzzer_sys::fuzz_target!(|choices: &[u8]| mesh_fuzz::check_calls(choices));
