//! The maps of captured connections.

use super::{MMAPABLE, NO_PREALLOC, count};
use crate::ctx::Socket;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::btf_maps::{Array, HashMap, RingBuf, SockHash};
use aya_ebpf::helpers::generated::{bpf_map_lookup_elem, bpf_sk_release};
use aya_ebpf::macros::btf_map;
use mesh_common::capture::{Arrival, ConsumerKey, ListenerKey, Origin, OriginKey};
use mesh_common::counter::Counter;

#[btf_map]
static LISTENERS: SockHash<ListenerKey, 2_048> = SockHash::new();
#[btf_map]
static UNLISTENED: HashMap<u64, u32, 1_024, NO_PREALLOC> = HashMap::new();
#[btf_map]
static CONSUMERS: HashMap<ConsumerKey, u32, 16_384, NO_PREALLOC> = HashMap::new();
#[btf_map]
static ORIGINS: HashMap<OriginKey, Origin, 65_536, NO_PREALLOC> = HashMap::new();
#[btf_map]
static HEARTBEAT: Array<u64, 1, MMAPABLE> = Array::new();
#[btf_map]
static ARRIVALS: RingBuf<Arrival, 65_536> = RingBuf::new();

/// The port of the listener in a namespace. An entry of the map goes with its socket, and so with the agent.
#[inline(always)]
pub(crate) fn listener_port(key: &ListenerKey) -> Option<u16> {
    let map = (&raw const LISTENERS).cast_mut();
    // SAFETY: the map is a hash of sockets and the key is of its type; a socket that is found is released below.
    let socket = unsafe { bpf_map_lookup_elem(map.cast(), (&raw const *key).cast()) };
    let socket = Socket::found(socket.cast())?;
    let port = socket.source_port();
    // SAFETY: found above, and not used any more.
    let _released: i64 = unsafe { bpf_sk_release(socket.as_ptr().cast()) };
    Some(port)
}

/// When the agent moved last, by `CLOCK_MONOTONIC`; zero: it has not begun.
#[inline(always)]
pub(crate) fn heartbeat_ns() -> u64 {
    // SAFETY: a value of the map, an aligned word that the agent stores at once.
    HEARTBEAT
        .get_ptr(0)
        .map_or(0, |beat| unsafe { beat.read_volatile() })
}

/// Whether the agent could not listen in a namespace.
#[inline(always)]
pub(crate) fn is_unlistened(netns_cookie: u64) -> bool {
    UNLISTENED.get_ptr(netns_cookie).is_some()
}

/// Whether these callers' connects are routed.
#[inline(always)]
pub(crate) fn is_consumer(key: &ConsumerKey) -> bool {
    CONSUMERS.get_ptr(key).is_some()
}

/// Publishes where a connection to the proxy was going.
#[inline(always)]
pub(crate) fn publish_origin(key: &OriginKey, origin: &Origin) {
    if ORIGINS.insert(key, origin, u64::from(BPF_ANY)).is_err() {
        count(Counter::OriginsFull);
    }
}

/// Forgets an origin that nobody has asked for.
#[inline(always)]
pub(crate) fn forget_origin(key: &OriginKey) {
    let _read_before: Result<(), i32> = ORIGINS.remove(key);
}

/// Tells the agent of a namespace that has no listener.
#[inline(always)]
pub(crate) fn arrive(arrival: &Arrival) {
    if ARRIVALS.output(arrival, 0).is_err() {
        count(Counter::ArrivalsFull);
    }
}
