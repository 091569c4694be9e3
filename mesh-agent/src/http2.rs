//! HTTP/2 as bytes and what they mean: no sockets, no clock.

pub mod hpack;
