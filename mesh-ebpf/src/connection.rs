//! The life of a connection, from its SYN to its end (`sock_ops`).
//!
//! Speaks only of sockets that `connect4` or `connect6` left a note on; the phases are drawn at [`SocketState`].
//! The kernel calls under the socket's lock, so that a socket's events come one after the other.
//!
//! Oldest kernel: 5.11 (`bpf_ktime_get_coarse_ns`).

use crate::ctx::TcpEvent;
use crate::maps::{self, StoredSocket};
use crate::{meter, source, tally};
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTT_CB,
    BPF_SOCK_OPS_RTT_CB_FLAG, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
    BPF_SOCK_OPS_TCP_CONNECT_CB,
};
use aya_ebpf::helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use aya_ebpf::macros::sock_ops;
use aya_ebpf::programs::SockOpsContext;
use aya_log_ebpf::debug;
use mesh_common::address::SocketAddress;
use mesh_common::capture::{Origin, OriginKey};
use mesh_common::connection::ConnectError;
use mesh_common::ending::{Ending, UNKNOWN_ERROR, UNKNOWN_FLAGS, tcp_state};
use mesh_common::socket::{Phase, Rewrite, SocketState};

/// Leaves the answers of other programs on the same cgroup as they are: nothing is written to `reply`.
const NO_OPINION: u32 = 1;

/// Between two samples of a connection's round-trip time.
const SAMPLE_INTERVAL_NS: u64 = 1_000_000_000;

/// Something happened to a TCP socket.
#[sock_ops]
pub(crate) fn connection(ctx: SockOpsContext) -> u32 {
    observe(&TcpEvent::new(&ctx));
    NO_OPINION
}

#[inline(always)]
fn observe(event: &TcpEvent) {
    match event.operation() {
        BPF_SOCK_OPS_RTT_CB => acknowledged(event),
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(event),
        // A simultaneous open ends in the callback of the passive side.
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            established(event)
        }
        BPF_SOCK_OPS_STATE_CB if event.new_state() == tcp_state::CLOSE => ended(event),
        _ => {}
    }
}

/// The note on the event's socket, if it is in this phase.
#[inline(always)]
fn in_phase(event: &TcpEvent, phase: Phase) -> Option<(StoredSocket, SocketState)> {
    let stored = maps::socket(event.socket()?)?;
    let state = stored.get();
    (state.phase == phase as u32).then_some((stored, state))
}

/// The SYN is about to leave.
#[inline(always)]
fn connecting(event: &TcpEvent) {
    let Some((stored, state)) = in_phase(event, Phase::Attempted) else {
        return;
    };
    let source = source::at_syn(&state, &event.local_address());
    stored.set_source(source);
    stored.set_phase(Phase::Connecting);
    if state.rewritten == Rewrite::Listener as u32 {
        let origin = Origin {
            requested: state.requested,
            source,
        };
        maps::capture::publish_origin(&origin_key(event, &state), &origin);
    }
    meter::announce(event, &stored, &state, source);
    event.subscribe(BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG);
}

#[inline(always)]
fn origin_key(event: &TcpEvent, state: &SocketState) -> OriginKey {
    OriginKey {
        netns_cookie: state.netns_cookie,
        client: SocketAddress::new(event.local_address(), event.local_port()),
        reserved: 0,
    }
}

/// The handshake is complete.
#[inline(always)]
fn established(event: &TcpEvent) {
    let Some((stored, state)) = in_phase(event, Phase::Connecting) else {
        if event.operation() == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB
            && let Some(socket) = event.socket()
        {
            meter::accepted(event, socket);
        }
        return;
    };
    // SAFETY: has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    tally::opened(&stored, &state, now_ns, event.round_trip_ns());
}

/// The round-trip time was measured, which happens with almost every acknowledgement.
#[inline(always)]
fn acknowledged(event: &TcpEvent) {
    let Some((stored, state)) = in_phase(event, Phase::Established) else {
        return;
    };
    // The tick's own time will do, and costs no read of the clock: this is the one place that runs for every packet.
    // SAFETY: has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    if now_ns.saturating_sub(state.sampled_ns) < SAMPLE_INTERVAL_NS {
        return;
    }
    stored.set_sampled(now_ns);
    tally::round_trip(&state, event.round_trip_ns());
}

/// The socket goes to `CLOSE`.
#[inline(always)]
fn ended(event: &TcpEvent) {
    let Some(socket) = event.socket() else { return };
    let Some(stored) = maps::socket(socket) else {
        return;
    };
    let state = stored.get();
    let Some(phase) = Phase::from_u32(state.phase) else {
        return;
    };
    if phase == Phase::Done {
        return;
    }
    let ending = Ending {
        old_state: event.old_state(),
        error: event.peek(socket, maps::sk_err_offset(), UNKNOWN_ERROR),
        flags: event.peek(socket, maps::sk_flags_offset(), UNKNOWN_FLAGS),
        all_acked: event.all_acked(),
        segments_out: event.segments_out(),
    };
    debug!(
        event,
        "service {}, endpoint {}: phase {} ends in state {} with error {}",
        state.service,
        state.endpoint,
        state.phase,
        ending.old_state,
        ending.error
    );
    meter::forget(event, &state);
    if state.rewritten == Rewrite::Listener as u32 {
        maps::capture::forget_origin(&origin_key(event, &state));
    }
    match phase {
        Phase::Established => tally::closed(&stored, &state, event, &ending),
        // Seen only of a socket that had a connection before and kept its callbacks: no SYN left.
        Phase::Attempted => tally::failed(&stored, &state, ConnectError::Local, 0),
        Phase::Connecting => {
            tally::failed(&stored, &state, ending.connect_error(), event.retransmits());
        }
        Phase::Done => {}
    }
}
