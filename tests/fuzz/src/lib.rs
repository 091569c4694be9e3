//! What reads bytes that anybody may have written, against what they mean: the meter's decoder, the proxy's HTTP/2,
//! manifests, gRPC's headers.
//!
//! The meter's decoder, against full decoders:
//!
//! ```text
//! bytes ─► oracle   frames by slices, fields by fluke-hpack ─► Said …
//!   │                                                            │ compare
//!   └────► Decoder  whole, and again in pieces ───────────────► Said …
//! calls    makes legal blocks of whatever bytes a fuzzer offers
//! exchange makes legal requests and responses of them, which the tests give to h2 too
//! ```
//!
//! What the oracle takes for illegal ends the comparison: a real peer ends the connection there. What it takes for legal the
//! meter must understand to the last field.

mod blocks;
mod calls;
mod choices;
mod compare;
mod encoder;
mod exchange;
mod frames;
mod framing;
mod grpc;
mod holders;
mod oracle;
mod proxied;
mod reading;
mod routes;
mod rules;
mod values;
mod walk;

pub use blocks::check_blocks;
pub use calls::check_calls;
pub use compare::{check, check_bytes};
pub use exchange::Exchange;
pub use frames::check_frames;
pub use grpc::check_grpc;
pub use oracle::{End, Oracle, Said};
pub use proxied::check_proxied;
pub use reading::{Block, Reading, Stream, StreamEnd, by_stream, comparable, fields};
pub use routes::check_routes;
pub use values::{Coded, Fields, Identity};

/// Takes the first byte for what the rest is: a legal exchange now and then, which takes twenty times as long, or any frames.
///
/// # Panics
/// When [`check_proxied`] or [`check_frames`] does.
pub fn check_connection(bytes: &[u8]) {
    match bytes.split_first() {
        Some((how, rest)) if how.is_multiple_of(16) => check_proxied(rest),
        Some((_, rest)) => check_frames(rest),
        None => {}
    }
}
