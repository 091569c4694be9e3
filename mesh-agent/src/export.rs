//! L2: what was measured, in the form in which others collect it.

mod instrument;
mod process;
pub mod prometheus;

pub use process::read_process;
