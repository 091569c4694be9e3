//! The node agent's entry point.
fn main() {}
