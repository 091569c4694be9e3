//! HTTP/2 on sockets: who reads and writes a connection, and the halves of its streams.

mod client;
mod half;
mod server;
mod socket;
mod stream;

pub use crate::http2::WireLimits;
pub(super) use crate::http2::{Cut, ErrorCode, Head, Piece, Pieces, Unsent};
pub(super) use client::{Awaiting, Driver, Opener, connect};
pub(super) use server::{Incoming, Replier, Server};
pub(super) use stream::{Receiver, Sender};
