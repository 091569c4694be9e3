//! Open connections of the mesh in every network namespace.

use super::KernelError;
use super::namespaces;
use super::rows::OpenTotals;
use super::sock_diag::{OpenSocket, dump_sockets};
use mesh_common::connection::ConnectionKey;
use mesh_common::socket::Phase;
use std::os::fd::BorrowedFd;

/// Hands every connection that is opening or open to `visit`. `storage` is the map of socket states.
///
/// # Errors
///
/// A namespace could not be read; the others were all the same.
pub(super) fn visit_open(
    storage: BorrowedFd<'_>,
    mut visit: impl FnMut(&OpenSocket) + Send,
) -> Result<(), KernelError> {
    let mut namespaces = namespaces::discover();
    namespaces.extend(namespaces::host());
    let mut failure = None;
    namespaces::visit(&namespaces, |_| {
        let dumped = dump_sockets(storage, |socket| {
            if is_counted(&socket) {
                visit(&socket);
            }
        });
        failure = failure.take().or(dumped.err());
        Some(())
    })?;
    failure.map_or(Ok(()), |cause| {
        Err(KernelError::System {
            action: "read open sockets with SOCK_DIAG",
            cause,
        })
    })
}

/// What open connections add up to, by (source, destination).
///
/// # Errors
///
/// As [`visit_open`].
pub(super) fn open_totals(storage: BorrowedFd<'_>) -> Result<OpenTotals, KernelError> {
    let mut totals = OpenTotals::new();
    visit_open(storage, |socket| {
        let key = ConnectionKey {
            source: socket.remembered.source,
            destination: socket.remembered.destination,
        };
        let total = totals.entry(key).or_default();
        total.sent_bytes += socket.sent_bytes;
        total.received_bytes += socket.received_bytes;
        total.retransmits += socket.retransmits;
    })?;
    Ok(totals)
}

/// Whether the rows do not have it yet.
fn is_counted(socket: &OpenSocket) -> bool {
    match Phase::from_u32(socket.remembered.phase) {
        Some(Phase::Connecting | Phase::Established) => true,
        Some(Phase::Attempted | Phase::Done) | None => false,
    }
}
