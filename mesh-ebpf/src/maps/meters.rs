//! The meters of sockets, and of what a listener saw for a socket that was still to come.

use super::NO_PREALLOC;
use crate::ctx::Socket;
use aya_ebpf::bindings::{BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::btf_maps::{HashMap, SkStorage};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use aya_ebpf::macros::btf_map;
use core::ptr::NonNull;
use mesh_common::meter::record::{Meter, PairKey};

#[btf_map]
static METER_OUT: SkStorage<Meter> = SkStorage::new();
#[btf_map]
static METER_IN: SkStorage<Meter> = SkStorage::new();
#[btf_map]
static EARLY: HashMap<PairKey, Meter, 1_024, NO_PREALLOC> = HashMap::new();

static EMPTY_METER: [u64; size_of::<Meter>() / 8] = [0; size_of::<Meter>() / 8];

macro_rules! storage {
    ($map:ident, $socket:expr, $value:expr, $flags:expr) => {{
        let map = (&raw const $map).cast_mut();
        // SAFETY: the map is a socket storage, the socket is valid, and the initial value, if any, is a `Meter`.
        let meter = unsafe {
            bpf_sk_storage_get(
                map.cast(),
                $socket.as_ptr().cast(),
                $value,
                u64::from($flags),
            )
        };
        NonNull::new(meter.cast::<Meter>())
    }};
}

/// The meter of what the socket sends.
#[inline(always)]
pub(crate) fn meter_out(socket: Socket) -> Option<NonNull<Meter>> {
    storage!(METER_OUT, socket, core::ptr::null_mut(), 0_u32)
}

/// The meter of what the socket receives.
#[inline(always)]
pub(crate) fn meter_in(socket: Socket) -> Option<NonNull<Meter>> {
    storage!(METER_IN, socket, core::ptr::null_mut(), 0_u32)
}

/// A meter of zeros for what the socket sends, or the one that another CPU has just made; `None`: no memory.
#[inline(always)]
pub(crate) fn new_meter_out(socket: Socket) -> Option<NonNull<Meter>> {
    let new = storage!(
        METER_OUT,
        socket,
        core::ptr::null_mut(),
        BPF_SK_STORAGE_GET_F_CREATE
    );
    // Of two CPUs that make one at the same time, one gets nothing.
    new.or_else(|| meter_out(socket))
}

/// A meter of zeros for what the socket receives, as [`new_meter_out`].
#[inline(always)]
pub(crate) fn new_meter_in(socket: Socket) -> Option<NonNull<Meter>> {
    let new = storage!(
        METER_IN,
        socket,
        core::ptr::null_mut(),
        BPF_SK_STORAGE_GET_F_CREATE
    );
    new.or_else(|| meter_in(socket))
}

/// Gives the socket what its listener saw for it; says which meter it is.
#[inline(always)]
pub(crate) fn adopt_early(socket: Socket, key: &PairKey) -> Option<NonNull<Meter>> {
    let early = EARLY.get_ptr_mut(key)?;
    let meter = storage!(METER_IN, socket, early.cast(), BPF_SK_STORAGE_GET_F_CREATE);
    let _gone: Result<(), i32> = EARLY.remove(key);
    meter
}

/// A new meter of zeros for what a listener sees of this connection; `None`: no room, or it has one.
#[inline(always)]
pub(crate) fn new_early(key: &PairKey) -> Option<NonNull<Meter>> {
    let empty: *const Meter = (&raw const EMPTY_METER).cast();
    // SAFETY: as large and as aligned as a meter, which any bits are.
    let empty = unsafe { &*empty };
    EARLY.insert(key, empty, u64::from(BPF_NOEXIST)).ok()?;
    EARLY.get_ptr_mut(key).and_then(NonNull::new)
}

/// Whether a listener has seen something of this connection.
#[inline(always)]
pub(crate) fn early(key: &PairKey) -> Option<NonNull<Meter>> {
    EARLY.get_ptr_mut(key).and_then(NonNull::new)
}
