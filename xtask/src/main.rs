//! Set-up, build, test, demo and benchmarks.
fn main() {}
