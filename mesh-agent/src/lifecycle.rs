//! L0: how the process becomes ready, is told to stop, finishes its work, and notices that one of its threads has ended; which threads are urgent.

mod drain;
mod ready;
mod signal;
mod urgency;
mod worker;

pub use drain::{Drain, DrainWatch, Phase};
pub use ready::{Readiness, Step};
pub use signal::StopSignals;
pub use urgency::become_urgent;
pub use worker::{Worker, WorkerError};
