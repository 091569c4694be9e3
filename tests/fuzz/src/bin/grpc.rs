//! Any bytes as the values of gRPC's headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mesh_fuzz::check_grpc(bytes));
