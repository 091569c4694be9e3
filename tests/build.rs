//! Compiles the demo's protocol. protox is a compiler in Rust, so nobody needs `protoc`.

use std::error::Error;

const PROTOCOL: &str = "proto/shop.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTOCOL}");
    let descriptors = protox::compile([PROTOCOL], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
