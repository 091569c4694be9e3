//! What reads bytes that anybody may have written, against what they mean: the meter's decoder, manifests, gRPC's headers.
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

mod calls;
mod choices;
mod compare;
mod encoder;
mod exchange;
mod framing;
mod grpc;
mod oracle;
mod routes;
mod values;
mod walk;

pub use calls::check_calls;
pub use compare::{check, check_bytes};
pub use exchange::Exchange;
pub use grpc::check_grpc;
pub use oracle::{End, Oracle, Said};
pub use routes::check_routes;
pub use values::{Coded, Fields, Identity};
