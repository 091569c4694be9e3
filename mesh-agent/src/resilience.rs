//! L1: what is done about failure and overload: deadlines, retries, budgets, breakers, ejections, limits, faults. Pure: time
//! and randomness are arguments, and what many requests share is a few words behind an atomic or a short lock.

mod breaker;
mod budget;
mod deadline;
mod fault;
mod outlier;
mod rate_limit;
mod retry;
mod window;

pub use breaker::{Breaker, PENDING_WAIT_MAX, Permit, Resource, Usage};
pub use budget::Budget;
pub use deadline::{Deadline, Expiry, TimeoutKind};
pub use fault::Injection;
pub use outlier::{Detector, Due, Health, Standing, Verdict};
pub use rate_limit::RateLimiter;
pub use retry::{Failure, NextTry, Report, Stop, Tries};

#[cfg(test)]
mod tests;
