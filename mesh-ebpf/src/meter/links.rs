//! What a socket's addresses, or its note, say of its connection.

use crate::maps::{self as all_maps, metering as maps};
use core::ptr::NonNull;
use mesh_common::address::SocketAddress;
use mesh_common::meter::count::Skip;
use mesh_common::meter::record::{
    DESTINATION_UNKNOWN, Link, Meter, PairKey, PeerPlace, SERVICE_UNKNOWN, Side,
};
use mesh_common::socket::{Protocol, SocketState};
use mesh_common::source::SOURCE_UNKNOWN;

/// The link of a connecting socket of the mesh.
#[inline(always)]
pub(super) fn client_link(state: &SocketState, source: u32, connection: u64) -> Link {
    Link {
        connection,
        source,
        destination: state.destination,
        service: state.service,
        side: Side::Client as u32,
        is_client: 1,
        peer: PeerPlace::Unknown as u32,
    }
}

/// The link of an accepting socket whose client is elsewhere, if its address is an endpoint.
#[inline(always)]
pub(super) fn server_link(
    own: &SocketAddress,
    peer: &SocketAddress,
    connection: u64,
) -> Option<Link> {
    let entry = all_maps::endpoint_entry_at(own)?;
    let record = all_maps::endpoint(entry.endpoint())?;
    if record.protocol == Protocol::Other as u32 {
        return None;
    }
    let (service, destination) = if entry.is_shared() {
        maps::skipped(Skip::AmbiguousService);
        (SERVICE_UNKNOWN, DESTINATION_UNKNOWN)
    } else {
        (record.service, record.destination)
    };
    Some(Link {
        connection,
        source: all_maps::source_at(&peer.address).unwrap_or(SOURCE_UNKNOWN),
        destination,
        service,
        side: Side::Server as u32,
        is_client: 0,
        peer: PeerPlace::Remote as u32,
    })
}

/// The link of a socket that connected before the mesh was there, if the other end is an endpoint.
#[inline(always)]
pub(super) fn late_client_link(
    own: &SocketAddress,
    peer: &SocketAddress,
    connection: u64,
) -> Option<Link> {
    let entry = all_maps::endpoint_entry_at(peer)?;
    let record = all_maps::endpoint(entry.endpoint())?;
    if record.protocol == Protocol::Other as u32 {
        return None;
    }
    Some(Link {
        connection,
        source: all_maps::source_at(&own.address).unwrap_or(SOURCE_UNKNOWN),
        destination: record.destination,
        service: record.service,
        side: Side::Client as u32,
        is_client: 1,
        peer: PeerPlace::Unknown as u32,
    })
}

/// The link with what its announcement has been told of the other end.
#[inline(always)]
pub(super) fn placed(mut link: Link, key: &PairKey) -> Link {
    if let Some(announced) = maps::announced(key) {
        link.peer = announced.peer;
    }
    link
}

/// Whether the other end is known to be on this node: it meters what it sends.
#[inline(always)]
pub(super) fn is_local(out: NonNull<Meter>) -> bool {
    // SAFETY: the socket's own storage.
    let out = unsafe { out.as_ref() };
    out.link.peer == PeerPlace::Local as u32
}

/// Whether the other end is elsewhere, so that what it sends is to be parsed here. To be asked with the other end's first
/// payload, not with a bare acknowledgement: by then it has begun to meter what it sends, if it does at all.
#[inline(always)]
pub(super) fn is_remote(out: NonNull<Meter>) -> bool {
    // SAFETY: the socket's own storage; whoever comes first writes what all would write.
    let out = unsafe { &mut *out.as_ptr() };
    if out.link.peer == PeerPlace::Unknown as u32 {
        let place = match maps::is_adopted(out.link.connection) {
            Some(true) => PeerPlace::Local,
            _ => PeerPlace::Remote,
        };
        out.link.peer = place as u32;
    }
    out.link.peer == PeerPlace::Remote as u32
}
