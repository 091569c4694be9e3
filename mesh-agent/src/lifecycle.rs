//! L0: how the process becomes ready, is told to stop, and notices that one of its threads has ended.

mod ready;
mod signal;
mod worker;

pub use ready::{Readiness, Step};
pub use signal::StopSignals;
pub use worker::{Worker, WorkerError};
