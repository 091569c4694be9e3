//! Adds to the counts of a (source, destination). Every connection is counted by exactly one of these paths.

use crate::ctx::TcpEvent;
use crate::maps::{self, StoredSocket};
use mesh_common::capture::Bypass;
use mesh_common::connection::{ConnectError, ConnectionKey, payload_received, payload_sent};
use mesh_common::counter::Counter;
use mesh_common::ending::Ending;
use mesh_common::socket::{Phase, SocketState};

#[inline(always)]
fn key(state: &SocketState) -> ConnectionKey {
    ConnectionKey {
        source: state.source,
        destination: state.destination,
    }
}

/// A connection is established. If there is no room to count it, its end is not counted either.
#[inline(always)]
pub(crate) fn opened(stored: &StoredSocket, state: &SocketState, now_ns: u64, round_trip_ns: u64) {
    let Some(row) = maps::connection_row_or_new(&key(state)) else {
        maps::count(Counter::ConnectionsFull);
        stored.set_phase(Phase::Done);
        return;
    };
    stored.set_established(now_ns);
    stored.set_sampled(now_ns);
    stored.set_phase(Phase::Established);
    row.add_opened();
    row.observe_connect(now_ns.saturating_sub(state.started_ns));
    if round_trip_ns != 0 {
        row.observe_round_trip(round_trip_ns);
    }
}

/// The round-trip time of an established connection, now and then.
#[inline(always)]
pub(crate) fn round_trip(state: &SocketState, round_trip_ns: u64) {
    if let Some(row) = maps::connection_row(&key(state)) {
        row.observe_round_trip(round_trip_ns);
    }
}

/// An established connection has ended.
#[inline(always)]
pub(crate) fn closed(
    stored: &StoredSocket,
    state: &SocketState,
    event: &TcpEvent,
    ending: &Ending,
) {
    stored.set_phase(Phase::Done);
    let Some(row) = maps::connection_row(&key(state)) else {
        maps::count(Counter::ConnectionRowMissing);
        return;
    };
    row.add_closed(ending.close_reason());
    row.add_sent_bytes(payload_sent(event.bytes_acked(), ending.fin_acked()));
    row.add_received_bytes(payload_received(
        event.bytes_received(),
        ending.fin_received(),
    ));
    row.add_retransmits(event.retransmits());
}

/// An attempt has failed.
#[inline(always)]
pub(crate) fn failed(
    stored: &StoredSocket,
    state: &SocketState,
    error: ConnectError,
    retransmits: u64,
) {
    stored.set_phase(Phase::Done);
    refused(&key(state), error, retransmits);
}

/// A connect to a routed service did not go to the proxy.
#[inline(always)]
pub(crate) fn bypassed(key: &ConnectionKey, reason: Bypass) {
    let Some(row) = maps::connection_row_or_new(key) else {
        maps::count(Counter::ConnectionsFull);
        return;
    };
    row.add_bypassed(reason);
}

/// An attempt has failed that left no state on the socket.
#[inline(always)]
pub(crate) fn refused(key: &ConnectionKey, error: ConnectError, retransmits: u64) {
    let Some(row) = maps::connection_row_or_new(key) else {
        maps::count(Counter::ConnectionsFull);
        return;
    };
    row.add_failed(error);
    row.add_retransmits(retransmits);
}
