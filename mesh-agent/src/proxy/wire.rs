//! HTTP/2 as the proxy uses it: connections, streams, and how they are cut short. Only this folder knows the crate `h2`.

mod budget;
mod client;
mod cut;
mod frames;
mod limits;
mod server;
mod stream;
mod watched;

pub(super) use client::{Awaiting, Driver, Opener, Unsent, connect};
pub(super) use cut::{Cut, ErrorCode};
pub use limits::WireLimits;
pub(super) use server::{Incoming, Replier, Server};
pub(super) use stream::{Piece, Receiver, Sender};
