//! The maps of the meter.

use super::{Counts, NO_PREALLOC, atomic};
use aya_ebpf::Global;
use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::macros::btf_map;
use core::mem::offset_of;
use core::ptr::NonNull;
use mesh_common::meter::count::{RpcEvent, Skip, mode_index};
use mesh_common::meter::held::{HeldKey, HeldPage};
use mesh_common::meter::record::{
    Link, METHODS_PER_SERVICE_MAX, MeteredConnection, Method, MethodKey, Observation, PairKey,
    PeerPlace, RpcKey, RpcRow, Sampling, Stream, StreamKey, methods_index,
};
use mesh_common::meter::{Mode, PATH_BYTES_MAX};
use mesh_common::wire::copy_words;

#[btf_map]
static METER_CONNS: HashMap<u64, MeteredConnection, 65_536, NO_PREALLOC> = HashMap::new();
#[btf_map]
static PAIRS: HashMap<PairKey, Link, 16_384, NO_PREALLOC> = HashMap::new();
/// Nobody takes away what a socket leaves behind that is closed: it is overwritten in time.
#[btf_map]
static HELD: LruHashMap<HeldKey, HeldPage, 1_024> = LruHashMap::new();
/// Allocated beforehand: an RPC takes and frees one element.
#[btf_map]
static STREAMS: HashMap<StreamKey, Stream, 65_536> = HashMap::new();
#[btf_map]
static RPCS: HashMap<RpcKey, RpcRow, 16_384, NO_PREALLOC> = HashMap::new();
#[btf_map]
static METHODS: HashMap<MethodKey, Method, 16_384, NO_PREALLOC> = HashMap::new();
#[btf_map]
static CANDIDATES: LruHashMap<MethodKey, Method, 4_096> = LruHashMap::new();
#[btf_map]
static SERVICE_METHODS: Array<u64, 16_384> = Array::new();
#[btf_map]
static OBSERVED: RingBuf<Observation, 1_048_576> = RingBuf::new();
#[btf_map]
static SAMPLING: Array<Sampling, 1> = Array::new();
#[btf_map]
static METER_RPCS: PerCpuArray<u64, { RpcEvent::COUNT }> = PerCpuArray::new();
#[btf_map]
static METER_SKIPPED: PerCpuArray<u64, { Skip::COUNT }> = PerCpuArray::new();
#[btf_map]
static METER_MODES: PerCpuArray<u64, { Mode::COUNT * 2 }> = PerCpuArray::new();

#[unsafe(no_mangle)]
static PATH_KEY: Global<u64> = Global::new(0);

// What new elements are made of, where they are too large for the stack.
static EMPTY_ROW: [u64; size_of::<RpcRow>() / 8] = [0; size_of::<RpcRow>() / 8];
static EMPTY_STREAM: [u64; size_of::<Stream>() / 8] = [0; size_of::<Stream>() / 8];
static EMPTY_METHOD: [u64; size_of::<Method>() / 8] = [0; size_of::<Method>() / 8];
static EMPTY_PAGE: [u64; size_of::<HeldPage>() / 8] = [0; size_of::<HeldPage>() / 8];

/// What digests of paths begin with.
#[inline(always)]
pub(crate) fn path_key() -> u64 {
    PATH_KEY.load()
}

#[inline(always)]
fn add_per_cpu(value: Option<*mut u64>, amount: u64) {
    if let Some(value) = value {
        // A softirq may interrupt a system call on the same CPU.
        // SAFETY: this CPU's slot of a counter.
        unsafe { atomic::add(value, amount) };
    }
}

/// Counts something that was not metered.
#[inline(always)]
pub(crate) fn skipped(reason: Skip) {
    add_per_cpu(METER_SKIPPED.get_ptr_mut(reason as u32), 1);
}

/// Counts a step in the life of an RPC.
#[inline(always)]
pub(crate) fn count_rpc(event: RpcEvent) {
    add_per_cpu(METER_RPCS.get_ptr_mut(event as u32), 1);
}

/// One direction more in a mode.
#[inline(always)]
pub(crate) fn enter_mode(mode: u32, is_response: bool) {
    add_per_cpu(METER_MODES.get_ptr_mut(mode_index(mode, is_response)), 1);
}

/// One direction less in a mode.
#[inline(always)]
pub(crate) fn leave_mode(mode: u32, is_response: bool) {
    add_per_cpu(
        METER_MODES.get_ptr_mut(mode_index(mode, is_response)),
        u64::MAX,
    );
}

/// Announces a connection to its accepting end.
#[inline(always)]
pub(crate) fn announce(key: &PairKey, link: &Link) {
    let _full: Result<(), i32> = PAIRS.insert(key, link, u64::from(BPF_ANY));
}

/// What the connecting end announced.
#[inline(always)]
pub(crate) fn announced(key: &PairKey) -> Option<Link> {
    let link = PAIRS.get_ptr(key)?;
    // SAFETY: a value of the map. Only this connection's ends use the key.
    Some(unsafe { link.read() })
}

/// The accepting end of an announced connection is on this node.
#[inline(always)]
pub(crate) fn found_local(key: &PairKey) {
    if let Some(link) = PAIRS.get_ptr_mut(key) {
        // SAFETY: a value of the map.
        let link = unsafe { &mut *link };
        link.peer = PeerPlace::Local as u32;
    }
}

/// Takes an announcement back.
#[inline(always)]
pub(crate) fn forget_announcement(key: &PairKey) {
    let _gone: Result<(), i32> = PAIRS.remove(key);
}

/// Makes a metered connection known to the agent; says whether there was room.
#[inline(always)]
pub(crate) fn open_connection(id: u64) -> bool {
    insert_connection(id, 0) || METER_CONNS.get_ptr(id).is_some()
}

#[inline(always)]
fn insert_connection(id: u64, is_adopted: u32) -> bool {
    let connection = MeteredConnection {
        closed_ns: 0,
        lost_ns: 0,
        is_adopted,
        reserved: 0,
    };
    METER_CONNS
        .insert(id, connection, u64::from(BPF_NOEXIST))
        .is_ok()
}

#[inline(always)]
fn set_connection<T>(id: u64, offset: usize, value: T) {
    if let Some(connection) = METER_CONNS.get_ptr_mut(id) {
        let field = connection.cast::<u8>().wrapping_add(offset).cast::<T>();
        // SAFETY: a field of the value, of this type: only called so below.
        unsafe { field.write_volatile(value) };
    }
}

/// The accepting end is metered on this node. It may come first: a server's settings do not wait for the client's preface.
#[inline(always)]
pub(crate) fn set_adopted(id: u64) {
    if !insert_connection(id, 1) {
        set_connection(id, offset_of!(MeteredConnection, is_adopted), 1_u32);
    }
}

/// An end of the connection was closed; the first one counts.
#[inline(always)]
pub(crate) fn close_connection(id: u64, at_ns: u64) {
    if let Some(connection) = METER_CONNS.get_ptr_mut(id) {
        // SAFETY: an aligned word of the value.
        let closed_ns = unsafe { &raw mut (*connection).closed_ns };
        // SAFETY: as above; should both ends close at once, either time will do.
        if unsafe { closed_ns.read_volatile() } == 0 {
            // SAFETY: as above.
            unsafe { closed_ns.write_volatile(at_ns) };
        }
    }
}

/// What began up to now on the connection is lost.
#[inline(always)]
pub(crate) fn lose_streams(id: u64, at_ns: u64) {
    set_connection(id, offset_of!(MeteredConnection, lost_ns), at_ns);
}

/// Whether the accepting end is metered on this node; `None`: the connection is not known.
#[inline(always)]
pub(crate) fn is_adopted(id: u64) -> Option<bool> {
    let connection = METER_CONNS.get_ptr(id)?;
    // SAFETY: a value of the map.
    let connection = unsafe { &*connection };
    // SAFETY: an aligned word of the value.
    Some(unsafe { (&raw const connection.is_adopted).read_volatile() } != 0)
}

/// The open RPC.
#[inline(always)]
pub(crate) fn stream(key: &StreamKey) -> Option<NonNull<Stream>> {
    STREAMS.get_ptr_mut(key).and_then(NonNull::new)
}

/// Writes down an RPC that has begun; says whether there was room.
///
/// As an empty element first: up to 6.1 the verifier takes no value from memory that a function got as an argument (kernel
/// commit d1673304097c). Nobody asks for the RPC before its request has left.
#[inline(always)]
pub(crate) fn open_stream(key: &StreamKey, stream: &Stream) -> bool {
    let empty: *const Stream = (&raw const EMPTY_STREAM).cast();
    // SAFETY: as large and as aligned as a record, which any bits are.
    let empty = unsafe { &*empty };
    if STREAMS.insert(key, empty, u64::from(BPF_ANY)).is_err() {
        return false;
    }
    let Some(open) = STREAMS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: a value of the map.
    copy_words(unsafe { &mut *open }, stream);
    true
}

/// Takes an open RPC away; says whether it was there, that is, whether it is the caller's to count.
#[inline(always)]
pub(crate) fn close_stream(key: &StreamKey) -> bool {
    STREAMS.remove(key).is_ok()
}

/// Whether the path is a label.
#[inline(always)]
pub(crate) fn method(key: &MethodKey) -> Option<NonNull<Method>> {
    METHODS.get_ptr_mut(key).and_then(NonNull::new)
}

/// Remembers the text of a path that is not (yet) a label.
#[inline(always)]
pub(crate) fn remember_path(
    key: &MethodKey,
    path: &[u64; PATH_BYTES_MAX as usize / 8],
    length: u32,
) {
    let empty: *const Method = (&raw const EMPTY_METHOD).cast();
    // SAFETY: as large and as aligned as a record, which any bits are.
    let empty = unsafe { &*empty };
    let _full: Result<(), i32> = CANDIDATES.insert(key, empty, u64::from(BPF_ANY));
    if let Some(candidate) = CANDIDATES.get_ptr_mut(key) {
        // SAFETY: a value of the map.
        let candidate = unsafe { &mut *candidate };
        copy_words(&mut candidate.text, path);
        candidate.length = length;
    }
}

/// Makes a path a label of its service; says whether it is one now.
///
/// Not without its text, which a neighbour's paths may have pushed out of the candidates: a label that nobody can name would
/// be counted twice, as `_OTHER` and, once it has a name, under it.
#[inline(always)]
pub(crate) fn promote(key: &MethodKey) -> bool {
    if METHODS.get_ptr(key).is_some() {
        return true;
    }
    let Some(text) = CANDIDATES.get_ptr(key) else {
        return false;
    };
    let Some(count) = SERVICE_METHODS.get_ptr_mut(methods_index(key.service)) else {
        return false;
    };
    // SAFETY: a value of the map, an aligned word.
    if unsafe { count.read_volatile() } >= METHODS_PER_SERVICE_MAX {
        return false;
    }
    // SAFETY: a value of the map, an aligned word.
    if unsafe { atomic::fetch_add(count, 1) } >= METHODS_PER_SERVICE_MAX {
        return false;
    }
    // SAFETY: a value of a map.
    let text = unsafe { &*text };
    if METHODS.insert(key, text, u64::from(BPF_NOEXIST)).is_ok() {
        return true;
    }
    // No room, or another CPU was first and has counted it.
    // SAFETY: a value of the map, an aligned word.
    unsafe { atomic::add(count, u64::MAX) };
    METHODS.get_ptr(key).is_some()
}

/// The row, made if need be; `None`: no room.
#[inline(always)]
pub(crate) fn rpcs(key: &RpcKey) -> Option<Counts<RpcRow>> {
    if let Some(row) = RPCS.get_ptr_mut(key).and_then(NonNull::new) {
        return Some(Counts(row));
    }
    let empty: *const RpcRow = (&raw const EMPTY_ROW).cast();
    // SAFETY: as large and as aligned as a row, which any bits are.
    let empty = unsafe { &*empty };
    let _exists_or_full: Result<(), i32> = RPCS.insert(key, empty, u64::from(BPF_NOEXIST));
    RPCS.get_ptr_mut(key).and_then(NonNull::new).map(Counts)
}

/// How RPCs are chosen for observation.
#[inline(always)]
pub(crate) fn sampling() -> Option<&'static Sampling> {
    let sampling = SAMPLING.get_ptr(0)?;
    // SAFETY: a value of the map; its words change one by one, and any mixture of two settings is a setting.
    Some(unsafe { &*sampling })
}

/// Hands an observation to the agent; says whether there was room.
#[inline(always)]
pub(crate) fn observe(fill: impl FnOnce(&mut Observation)) -> bool {
    let Some(mut entry) = OBSERVED.reserve(0) else {
        return false;
    };
    // SAFETY: room in the ring for a record, which any bits are.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    entry.submit(0);
    true
}

/// The page of what came too early, made if need be; `None`: there is no room.
#[inline(always)]
pub(crate) fn held_or_new(key: &HeldKey) -> Option<NonNull<HeldPage>> {
    if let Some(page) = held(key) {
        return Some(page);
    }
    let empty: *const HeldPage = (&raw const EMPTY_PAGE).cast();
    // SAFETY: as large and as aligned as a page, which any bits are.
    let empty = unsafe { &*empty };
    let _full: Result<(), i32> = HELD.insert(key, empty, u64::from(BPF_NOEXIST));
    held(key)
}

/// A page of what came too early.
#[inline(always)]
pub(crate) fn held(key: &HeldKey) -> Option<NonNull<HeldPage>> {
    HELD.get_ptr_mut(key).and_then(NonNull::new)
}

/// Lets go of a page.
#[inline(always)]
pub(crate) fn drop_held(key: &HeldKey) {
    let _gone: Result<(), i32> = HELD.remove(key);
}
