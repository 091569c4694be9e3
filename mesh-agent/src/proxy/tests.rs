//! The proxy between real sockets: callers and endpoints are `h2` itself, on loopback.

mod departed;
mod failures;
mod fallbacks;
mod limits;
mod pings;
mod policies;
mod relay;
mod retries;
mod support;
mod telemetry;
mod times;
mod windows;
