//! Which connections are metered, and what is known of their two ends.

use super::front::{is_frame_then_frame, is_preface, is_settings, low_byte};
use super::links::{client_link, is_remote, late_client_link, placed, server_link};
use super::{from_client, from_server};
use crate::ctx::{Packet, Segment, Socket, TcpEvent};
use crate::maps::metering as maps;
use crate::maps::{self as all_maps, StoredSocket, meters};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use core::ptr::NonNull;
use mesh_common::address::SocketAddress;
use mesh_common::meter::count::Skip;
use mesh_common::meter::held::HELD_AHEAD_MAX;
use mesh_common::meter::record::{Link, Meter, PairKey, PeerPlace, Side};
use mesh_common::meter::{HEAD_BYTES, Mode, is_plausible_head};
use mesh_common::socket::{Metering, Phase, Protocol, SocketState};

/// Whether it has been decided that the socket is not metered.
#[inline(always)]
pub(super) fn is_settled(socket: Socket) -> bool {
    all_maps::socket(socket)
        .is_some_and(|stored| stored.get().metering != Metering::Undecided as u32)
}

/// Announces a connection of the mesh to its other end, which may be on this node. Called before the SYN leaves.
#[inline(always)]
pub(crate) fn announce(event: &TcpEvent, stored: &StoredSocket, state: &SocketState, source: u32) {
    if state.protocol == Protocol::Other as u32 {
        stored.set_metering(Metering::Declined);
        return;
    }
    maps::announce(&pair_of(event), &client_link(state, source, event.cookie()));
}

/// The connecting end is gone: nobody will ask for it any more.
#[inline(always)]
pub(crate) fn forget(event: &TcpEvent, state: &SocketState) {
    if state.protocol != Protocol::Other as u32 {
        maps::forget_announcement(&pair_of(event));
    }
    if state.metering == Metering::Opaque as u32 {
        maps::leave_mode(Mode::Opaque as u32, false);
    }
}

#[inline(always)]
fn pair_of(event: &TcpEvent) -> PairKey {
    PairKey {
        client: SocketAddress::new(event.local_address(), event.local_port()),
        server: event.remote(),
    }
}

/// A socket is released by its application: what it leaves open is closed.
#[inline(always)]
pub(crate) fn released(socket: Socket) {
    let Some(out) = meters::meter_out(socket) else {
        return;
    };
    // SAFETY: the socket's own storage.
    let out = unsafe { &mut *out.as_ptr() };
    if out.is_closed != 0 {
        return;
    }
    out.is_closed = 1;
    let is_client = out.link.is_client != 0;
    maps::leave_mode(out.decoder.mode, !is_client);
    if let Some(other) = meters::meter_in(socket) {
        // SAFETY: the socket's own storage.
        let other = unsafe { &mut *other.as_ptr() };
        if other.is_closed == 0 {
            other.is_closed = 1;
            maps::leave_mode(other.decoder.mode, is_client);
        }
    }
    // Whichever end closes first: nothing comes of what is open then, but what is on its way.
    // SAFETY: has no preconditions.
    maps::close_connection(out.link.connection, unsafe { bpf_ktime_get_ns() });
}

/// A meter for a socket that has none and sends this; `None`: it is not to be metered, or not yet.
#[inline(always)]
pub(super) fn new_sender(
    packet: Packet,
    socket: Socket,
    segment: &Segment,
) -> Option<NonNull<Meter>> {
    let front = packet.front(segment.payload.at, segment.payload.length);
    if let Some(stored) = all_maps::socket(socket) {
        let state = stored.get();
        if state.phase == Phase::Established as u32 || state.phase == Phase::Connecting as u32 {
            return new_client(packet, socket, segment, &stored, &state, front);
        }
    }
    if segment.payload.length < HEAD_BYTES || !is_plausible_head(front[0], low_byte(front[1])) {
        return None;
    }
    // The server's first words, before anything of the client was seen (or seen by the listener only).
    let key = from_server(segment);
    let is_first = is_settings(front[0]);
    if let Some(link) = maps::announced(&key) {
        if !is_first
            && !is_frame_then_frame(packet, segment.payload.at, segment.payload.length, front)
        {
            return None;
        }
        let start = if is_first {
            Start::Server
        } else {
            Start::Midstream
        };
        return adopt(socket, segment, &key, link, start);
    }
    if let Some(link) = server_link(&segment.source, &segment.destination, packet.cookie()) {
        if !is_first {
            return midstream(packet, socket, segment, link, front);
        }
        let meter = begin(socket, segment, link, Start::Server)?;
        return Some(meter);
    }
    let link = late_client_link(&segment.source, &segment.destination, packet.cookie())?;
    midstream(packet, socket, segment, link, front)
}

/// A connecting socket sends its first bytes.
#[inline(always)]
fn new_client(
    packet: Packet,
    socket: Socket,
    segment: &Segment,
    stored: &StoredSocket,
    state: &SocketState,
    front: [u64; 3],
) -> Option<NonNull<Meter>> {
    if !is_preface(front, segment.payload.length) {
        if state.protocol == Protocol::Http2 as u32 {
            maps::skipped(Skip::Opaque);
            maps::enter_mode(Mode::Opaque as u32, false);
            stored.set_metering(Metering::Opaque);
        } else {
            maps::skipped(Skip::NotHttp2);
            stored.set_metering(Metering::Declined);
        }
        return None;
    }
    stored.set_metering(Metering::Metered);
    let link = placed(
        client_link(state, state.source, packet.cookie()),
        &from_client(segment),
    );
    begin(socket, segment, link, Start::Client)
}

/// A meter for a socket that has none and receives this.
#[inline(always)]
pub(super) fn new_receiver(
    packet: Packet,
    socket: Socket,
    segment: &Segment,
) -> Option<NonNull<Meter>> {
    let front = packet.front(segment.payload.at, segment.payload.length);
    if is_preface(front, segment.payload.length) {
        let key = from_client(segment);
        if let Some(link) = maps::announced(&key) {
            // The client meters what it sends; this end only begins to meter its own.
            adopt(socket, segment, &key, link, Start::Answering);
            return None;
        }
        return new_server(packet, socket, segment);
    }
    // The preface was lost or is late: what comes before it is held.
    if let Some(first) = packet.first()
        && first != segment.payload.sequence
        && segment.payload.sequence.wrapping_sub(first) <= HELD_AHEAD_MAX
        && all_maps::socket(socket).is_none()
        && maps::announced(&from_client(segment)).is_none()
    {
        let mut from_first = *segment;
        from_first.payload.sequence = first;
        return new_server(packet, socket, &from_first);
    }
    let stored = all_maps::socket(socket)?;
    let state = stored.get();
    let is_connecting_end =
        state.phase == Phase::Established as u32 || state.phase == Phase::Connecting as u32;
    let is_greeting = segment.payload.length >= HEAD_BYTES
        && is_plausible_head(front[0], low_byte(front[1]))
        && is_settings(front[0]);
    if !is_connecting_end || !is_greeting {
        // A connection from before the mesh begins with what this socket sends.
        return None;
    }
    // The server's settings have come before this socket has sent its preface.
    stored.set_metering(Metering::Metered);
    let link = placed(
        client_link(&state, state.source, packet.cookie()),
        &from_server(segment),
    );
    let out = begin(socket, segment, link, Start::Greeted)?;
    if !is_remote(out) {
        return None;
    }
    other_direction(socket, out)
}

/// Meters for an accepting socket whose client is elsewhere and that receives its first bytes.
#[inline(always)]
fn new_server(packet: Packet, socket: Socket, segment: &Segment) -> Option<NonNull<Meter>> {
    let link = server_link(&segment.destination, &segment.source, packet.cookie())?;
    let out = begin(socket, segment, link, Start::Answering)?;
    other_direction(socket, out)
}

/// What came with the last packet of a handshake: its socket is still the listener.
#[inline(always)]
pub(super) fn early(packet: Packet, segment: &Segment) -> Option<NonNull<Meter>> {
    let key = from_client(segment);
    if let Some(meter) = meters::early(&key) {
        return Some(meter);
    }
    let front = packet.front(segment.payload.at, segment.payload.length);
    if !is_preface(front, segment.payload.length) || maps::announced(&key).is_some() {
        return None;
    }
    // SAFETY: has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    // No socket yet, so no cookie: a number that no cookie is.
    let link = server_link(&segment.destination, &segment.source, now_ns | 1 << 63)?;
    if !maps::open_connection(link.connection) {
        maps::skipped(Skip::ConnectionsFull);
        return None;
    }
    let Some(meter) = meters::new_early(&key) else {
        maps::skipped(Skip::MeterFull);
        return None;
    };
    // SAFETY: a value of the map, of which this connection's packets alone know the key.
    let new = unsafe { &mut *meter.as_ptr() };
    new.link = link;
    new.decoder.begin_client();
    new.is_received = 1;
    new.peer_sequence = segment.payload.acknowledged;
    Some(meter)
}

/// The listener's child is there: the connecting end, if it is on this node, may know it, and the child takes over what its
/// listener saw.
#[inline(always)]
pub(crate) fn accepted(event: &TcpEvent, socket: Socket) {
    let key = PairKey {
        client: event.remote(),
        server: SocketAddress::new(event.local_address(), event.local_port()),
    };
    maps::found_local(&key);
    let Some(meter) = meters::adopt_early(socket, &key) else {
        return;
    };
    // SAFETY: the socket's own storage.
    let meter = unsafe { &*meter.as_ptr() };
    maps::enter_mode(meter.decoder.mode, false);
    let Some(out) = meters::new_meter_out(socket) else {
        maps::skipped(Skip::MeterFull);
        return;
    };
    // SAFETY: the socket's own storage.
    let out = unsafe { &mut *out.as_ptr() };
    out.link = meter.link;
    out.is_response = 1;
    out.next_sequence = meter.peer_sequence;
    out.is_sequenced = 1;
    maps::enter_mode(Mode::Full as u32, true);
}

/// How a meter begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With the client's preface, at its own socket.
    Client,
    /// With the server's settings.
    Server,
    /// At the server's socket, before it has sent anything: with what it receives.
    Answering,
    /// At the client's socket, before it has sent anything: with the server's settings.
    Greeted,
    /// In the middle of what the socket sends.
    Midstream,
}

#[inline(always)]
fn begin(socket: Socket, segment: &Segment, link: Link, start: Start) -> Option<NonNull<Meter>> {
    let has_own_entry = link.is_client != 0 || link.peer == PeerPlace::Remote as u32;
    if has_own_entry && !maps::open_connection(link.connection) {
        maps::skipped(Skip::ConnectionsFull);
        return None;
    }
    let Some(meter) = meters::new_meter_out(socket) else {
        maps::skipped(Skip::MeterFull);
        return None;
    };
    // SAFETY: the socket's own storage.
    let new = unsafe { &mut *meter.as_ptr() };
    if new.link.connection != 0 {
        // Another CPU was first: what is sent and what is received may come at the same time.
        return Some(meter);
    }
    new.link = link;
    new.is_response = u32::from(link.is_client == 0);
    match start {
        Start::Client => new.decoder.begin_client(),
        Start::Server => {}
        Start::Answering => {
            new.next_sequence = segment.payload.acknowledged;
            new.is_sequenced = 1;
        }
        Start::Greeted => {
            new.decoder.begin_client();
            new.next_sequence = segment.payload.acknowledged;
            new.is_sequenced = 1;
        }
        Start::Midstream => {
            new.decoder.begin_anywhere();
            maps::skipped(Skip::Midstream);
        }
    }
    new.peer_sequence = if start == Start::Answering || start == Start::Greeted {
        segment.payload.sequence
    } else {
        segment.payload.acknowledged
    };
    maps::enter_mode(new.decoder.mode, link.is_client == 0);
    Some(meter)
}

/// The accepting end of an announced connection begins.
#[inline(always)]
fn adopt(
    socket: Socket,
    segment: &Segment,
    key: &PairKey,
    mut link: Link,
    start: Start,
) -> Option<NonNull<Meter>> {
    link.is_client = 0;
    link.side = Side::Both as u32;
    link.peer = PeerPlace::Local as u32;
    let meter = begin(socket, segment, link, start)?;
    maps::set_adopted(link.connection);
    maps::forget_announcement(key);
    Some(meter)
}

/// A meter for the direction that the socket receives; it begins where the other one saw that it stood.
#[inline(always)]
pub(super) fn other_direction(socket: Socket, out: NonNull<Meter>) -> Option<NonNull<Meter>> {
    let Some(meter) = meters::new_meter_in(socket) else {
        maps::skipped(Skip::MeterFull);
        return None;
    };
    // SAFETY: the socket's own storage.
    let new = unsafe { &mut *meter.as_ptr() };
    // SAFETY: the socket's own storage.
    let out = unsafe { &*out.as_ptr() };
    if new.link.connection != 0 {
        return Some(meter);
    }
    new.link = out.link;
    new.is_received = 1;
    new.is_response = u32::from(out.link.is_client != 0);
    new.next_sequence = out.peer_sequence;
    new.is_sequenced = 1;
    if out.decoder.mode == Mode::Partial as u32 {
        new.decoder.lose();
        new.is_sequenced = 0;
    } else if out.link.is_client == 0 {
        new.decoder.begin_client();
    }
    maps::enter_mode(new.decoder.mode, out.link.is_client != 0);
    Some(meter)
}

/// A connection in the middle, of which two frames in a row look right.
#[inline(always)]
fn midstream(
    packet: Packet,
    socket: Socket,
    segment: &Segment,
    link: Link,
    front: [u64; 3],
) -> Option<NonNull<Meter>> {
    if !is_frame_then_frame(packet, segment.payload.at, segment.payload.length, front) {
        return None;
    }
    if link.is_client != 0 {
        maps::announce(&from_client(segment), &link);
    }
    begin(socket, segment, link, Start::Midstream)
}
