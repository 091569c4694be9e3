//! L2: what was measured, in the form in which others collect it.

mod instrument;
pub mod otlp;
mod process;
pub mod prometheus;

pub use process::read_process;
