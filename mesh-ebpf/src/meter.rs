//! Meters gRPC in what sockets send and receive (`cgroup_skb`). Packets are never changed and always pass.
//!
//! ```text
//! same node   client egress ─ requests ─► STREAMS ◄─ responses ─ server egress      (ingress: one look, then back)
//! otherwise   both directions at the one socket that is here, ingress with holes and duplicates sorted out
//! ```
//!
//! A socket gets its [`mesh_common::meter::record::Meter`] with the client's preface, or, if it was there before the mesh, with two plausible
//! frame heads in a row. Egress runs under the socket's lock and sees the stream in order, but for retransmissions; ingress
//! runs before the lock.
//!
//! Oldest kernel: 5.17 (`bpf_loop`).

mod account;
mod chosen;
mod ends;
mod front;
mod held;
mod links;
mod run;

use crate::ctx::{Packet, Payload, Segment};
use crate::maps::meters;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use core::ptr::{NonNull, null_mut};
use mesh_common::AGENT_SOCKET_MARK;
use mesh_common::ending::tcp_state;
use mesh_common::meter::record::{Meter, PairKey};

pub(crate) use self::ends::{accepted, announce, forget, released};

const PASS: i32 = 1;

/// What a socket sends.
#[cgroup_skb(egress)]
pub(crate) fn meter_egress(ctx: SkBuffContext) -> i32 {
    egress(Packet::new(&ctx));
    PASS
}

/// What a socket receives.
#[cgroup_skb(ingress)]
pub(crate) fn meter_ingress(ctx: SkBuffContext) -> i32 {
    ingress(Packet::new(&ctx));
    PASS
}

/// IP and TCP headers are at least so long: what is not longer by more than a byte says nothing that begins a connection.
const BARE_BYTES: u32 = 40;

#[inline(always)]
fn egress(packet: Packet) {
    let mut payload = Payload::NONE;
    if let Some(meter) = NonNull::new(sender(packet, &mut payload)) {
        run::take(packet, meter, &payload);
    }
}

#[inline(always)]
fn ingress(packet: Packet) {
    let mut payload = Payload::NONE;
    if let Some(meter) = NonNull::new(receiver(packet, &mut payload)) {
        run::take(packet, meter, &payload);
    }
}

/// The meter of what is sent, and what that is; null: there is nothing to meter. A function of its own, so that its stack is
/// free again when the decoder runs.
#[inline(never)]
fn sender(packet: Packet, payload: &mut Payload) -> *mut Meter {
    let Some(socket) = packet.socket() else {
        return null_mut();
    };
    let known = meters::meter_out(socket);
    if known.is_none()
        && (packet.length() <= BARE_BYTES + 1 || is_own(packet) || ends::is_settled(socket))
    {
        return null_mut();
    }
    let Some(found) = packet.payload(known.is_some()) else {
        return null_mut();
    };
    *payload = found;
    let meter = known.or_else(|| {
        let segment = packet.segment(found)?;
        ends::new_sender(packet, socket, &segment)
    });
    meter.map_or(null_mut(), NonNull::as_ptr)
}

/// Whether the agent sends it: the proxy counts its RPCs itself. A packet that leaves has its socket's mark.
#[inline(always)]
fn is_own(packet: Packet) -> bool {
    packet.mark() == AGENT_SOCKET_MARK
}

/// The meter of what is received, as [`sender`].
#[inline(never)]
fn receiver(packet: Packet, payload: &mut Payload) -> *mut Meter {
    let Some(socket) = packet.socket() else {
        return null_mut();
    };
    let out = meters::meter_out(socket);
    let is_nothing = match out {
        Some(out) => links::is_local(out),
        None => packet.length() <= BARE_BYTES + 1 || ends::is_settled(socket),
    };
    if is_nothing {
        return null_mut();
    }
    let Some(found) = packet.payload(out.is_some()) else {
        return null_mut();
    };
    *payload = found;
    let meter = match out {
        Some(out) if links::is_remote(out) => {
            meters::meter_in(socket).or_else(|| ends::other_direction(socket, out))
        }
        Some(_) => None,
        None => packet.segment(found).and_then(|segment| {
            if socket.state() == tcp_state::LISTEN {
                ends::early(packet, &segment)
            } else {
                ends::new_receiver(packet, socket, &segment)
            }
        }),
    };
    meter.map_or(null_mut(), NonNull::as_ptr)
}

/// The ends of a segment's connection, if its sender connected.
#[inline(always)]
fn from_client(segment: &Segment) -> PairKey {
    PairKey {
        client: segment.source,
        server: segment.destination,
    }
}

/// The ends of a segment's connection, if its receiver connected.
#[inline(always)]
fn from_server(segment: &Segment) -> PairKey {
    PairKey {
        client: segment.destination,
        server: segment.source,
    }
}
