//! L3: the admin server: metrics, health, a page for people, read-only JSON. HTTP/1, loopback by default.

mod agent;
mod live;
mod page;
mod router;
mod server;
mod tap;

pub use agent::{AgentInfo, Readers};
pub use server::{AdminError, AdminServer};

#[cfg(test)]
mod tests;
