//! L1: HTTP/2 (RFC 9113) as the proxy relays it: connections as state, without sockets, tasks or clocks.
//!
//! Frames go from memory to memory: header blocks are decoded once and encoded once, bodies are passed on as they came, and what
//! one wake-up has brought is answered with one write. What a peer can make a connection hold is bounded ([`WireLimits`]).

mod budget;
mod connection;
mod cut;
mod flow;
mod frame;
mod head;
pub mod hpack;
mod limits;
mod output;
mod pieces;
mod stream;

pub use connection::{Connection, Piece, Unsent};
pub use cut::{Cut, ErrorCode};
pub use head::Head;
pub use limits::WireLimits;
pub use output::Output;
pub use pieces::Pieces;

#[cfg(test)]
mod tests;
