//! L0: what the agent says of itself, as the JSON under `/api/` and as the command line reads it.
//!
//! The server writes and the command line reads these very types, so that the two cannot drift apart.

mod connection;
mod endpoint;
mod problem;
pub mod quantity;
mod service;
mod status;

pub use connection::{Connection, Connections};
pub use endpoint::{Endpoint, Endpoints};
pub use problem::{Problem, Problems, Severity};
pub use service::{Family, Port, Service, Services};
pub use status::{Configuration, Map, Program, Status};

/// Readers that are served at once. Bounds the admin server's connections and every queue of questions.
pub const READERS_MAX: usize = 32;
