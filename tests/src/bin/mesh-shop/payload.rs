//! What every message carries besides its own fields.

use tonic::Status;

/// Bytes of it.
const PAYLOAD_LEN: usize = 1024;

/// The payload of messages about one order.
pub(crate) fn payload(order: u64) -> Vec<u8> {
    let pattern = order.to_le_bytes();
    pattern.iter().copied().cycle().take(PAYLOAD_LEN).collect()
}

/// Refuses a message whose payload is not that of its order: nothing may be lost or mixed up on the way.
pub(crate) fn check_payload(order: u64, found: &[u8]) -> Result<(), Status> {
    if found == payload(order) {
        return Ok(());
    }
    Err(Status::data_loss(format!(
        "payload of order {order} has arrived changed, {} bytes",
        found.len()
    )))
}
