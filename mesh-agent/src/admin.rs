//! L3: the admin server: metrics, health, a page for people, read-only JSON. HTTP/1, loopback by default.

mod agent;
mod page;
mod router;
mod server;

pub use agent::{AgentInfo, Readers};
pub use server::{AdminError, AdminServer};

/// Connections served at once; one more waits in the listener's backlog until one of them ends.
pub const CONNECTIONS_MAX: usize = 32;

#[cfg(test)]
mod tests;
