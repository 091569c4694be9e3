//! The proxy between real sockets: callers and endpoints are `h2` itself, on loopback.

mod departed;
mod failures;
mod limits;
mod relay;
mod retries;
mod support;
mod telemetry;
