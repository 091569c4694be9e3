//! The shop's protocol, generated from `proto/shop.proto`, and its payload.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    clippy::use_self,
    reason = "all but the end of this file is generated code"
)]

tonic::include_proto!("shop");

/// Bytes that every message carries besides its own fields.
pub(crate) const PAYLOAD_LEN: usize = 1024;

/// The payload of messages about one order.
pub(crate) fn payload(order: u64) -> Vec<u8> {
    let pattern = order.to_le_bytes();
    pattern.iter().copied().cycle().take(PAYLOAD_LEN).collect()
}

/// Refuses a message whose payload is not that of its order: nothing may be lost or mixed up on the way.
pub(crate) fn check_payload(order: u64, found: &[u8]) -> Result<(), tonic::Status> {
    if found == payload(order) {
        return Ok(());
    }
    Err(tonic::Status::data_loss(format!(
        "payload of order {order} has arrived changed, {} bytes",
        found.len()
    )))
}
