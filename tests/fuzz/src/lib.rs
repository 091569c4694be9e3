//! The meter's decoder against full decoders.
//!
//! ```text
//! bytes ─► oracle   frames by slices, fields by fluke-hpack ─► Said …
//!   │                                                            │ compare
//!   └────► Decoder  whole, and again in pieces ───────────────► Said …
//! calls    makes legal exchanges of whatever bytes a fuzzer offers
//! ```
//!
//! What the oracle takes for illegal ends the comparison: a real peer ends the connection there. What it takes for legal the
//! meter must understand to the last field.

mod calls;
mod compare;
mod encoder;
mod oracle;
mod values;
mod walk;

pub use calls::check_calls;
pub use compare::{check, check_bytes};
pub use oracle::{End, Oracle, Said};
pub use values::{Coded, Fields, Identity};
