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

use crate::ctx::{Content, Packet, Payload, Segment, Socket};
use crate::maps::{metering, meters};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use core::ptr::{NonNull, null_mut};
use mesh_common::AGENT_SOCKET_MARK;
use mesh_common::ending::tcp_state;
use mesh_common::meter::count::Skip;
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

#[inline(always)]
fn egress(packet: Packet) {
    let Some(socket) = packet.socket() else {
        return;
    };
    match packet.content() {
        // Half of all packets only acknowledge.
        Content::Nothing => {}
        Content::Payload(payload) => {
            let meter = match meters::meter_out(socket) {
                Some(known) => known.as_ptr(),
                None => new_sender(packet, socket, &payload),
            };
            if let Some(meter) = NonNull::new(meter) {
                run::take(packet, meter, &payload);
            }
        }
        Content::Unreadable => {
            if meters::meter_out(socket).is_some() {
                metering::skipped(Skip::Packet);
            }
        }
    }
}

#[inline(always)]
fn ingress(packet: Packet) {
    let Some(socket) = packet.socket() else {
        return;
    };
    match packet.content() {
        Content::Nothing => {}
        Content::Payload(payload) => {
            let out = meters::meter_out(socket);
            if out.is_some_and(links::is_local) {
                return;
            }
            let out = out.map_or(null_mut(), NonNull::as_ptr);
            if let Some(meter) = NonNull::new(receiver(packet, socket, &payload, out)) {
                run::take(packet, meter, &payload);
            }
        }
        Content::Unreadable => {
            if meters::meter_out(socket).is_some_and(|out| !links::is_local(out)) {
                metering::skipped(Skip::Packet);
            }
        }
    }
}

/// IP and TCP headers are at least so long: what is not longer by more than a byte says nothing that begins a connection.
const BARE_BYTES: u32 = 40;

/// The meter of a socket that has none and sends this; null: there is nothing to meter. A function of its own, so that its
/// stack is free again when the decoder runs, and that what runs for every packet stays small.
#[inline(never)]
fn new_sender(packet: Packet, socket: Socket, payload: &Payload) -> *mut Meter {
    if packet.length() <= BARE_BYTES + 1 || is_own(packet) || ends::is_settled(socket) {
        return null_mut();
    }
    packet
        .segment(*payload)
        .and_then(|segment| ends::new_sender(packet, socket, &segment))
        .map_or(null_mut(), NonNull::as_ptr)
}

/// Whether the agent sends it: the proxy counts its RPCs itself. A packet that leaves has its socket's mark.
#[inline(always)]
fn is_own(packet: Packet) -> bool {
    packet.mark() == AGENT_SOCKET_MARK
}

/// The meter of what is received by a socket with the meter `out`, if it has one, whose other end is not known to be on this
/// node; as [`new_sender`].
#[inline(never)]
fn receiver(packet: Packet, socket: Socket, payload: &Payload, out: *mut Meter) -> *mut Meter {
    let meter = match NonNull::new(out) {
        Some(out) if links::is_remote(out) => {
            meters::meter_in(socket).or_else(|| {
                // Nobody on this node will ask for it.
                if let Some(segment) = packet.segment(*payload) {
                    metering::forget_announcement(&from_server(&segment));
                }
                ends::other_direction(socket, out)
            })
        }
        Some(_) => None,
        None if packet.length() <= BARE_BYTES + 1 || ends::is_settled(socket) => None,
        None => packet.segment(*payload).and_then(|segment| {
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
