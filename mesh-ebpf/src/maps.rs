//! Every map and global, private, behind functions that copy values out. Who writes a map stands in
//! [`mesh_common::names`]; sizes are defaults that the agent overrides when it loads the object.
//!
//! Definitions are of the BTF kind throughout: socket storage exists in no other.

mod atomic;
pub(crate) mod capture;
mod connection_counts;
mod counts;
pub(crate) mod metering;
pub(crate) mod meters;
mod rpc_counts;
mod stored_socket;
pub(crate) mod turn;
mod ways;

pub(crate) use self::counts::Counts;
pub(crate) use self::stored_socket::StoredSocket;
pub(crate) use self::ways::AffinityWays;

use crate::ctx::Socket;
use aya_ebpf::Global;
use aya_ebpf::bindings::{
    BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE,
};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, SkStorage};
use aya_ebpf::helpers::generated::bpf_sk_storage_get;
use aya_ebpf::macros::btf_map;
use core::ptr::NonNull;
use mesh_common::address::{Address, SocketAddress};
use mesh_common::affinity::{AffinitySet, SETS};
use mesh_common::capture::{Bypass, CallerEntry};
use mesh_common::connection::{CloseReason, ConnectError, ConnectionKey, ConnectionRow};
use mesh_common::counter::Counter;
use mesh_common::histogram::{self, Histogram};
use mesh_common::socket::SocketState;
use mesh_common::source::HostSourceKey;
use mesh_common::table::{
    EndpointEntry, EndpointRecord, FrontendEntry, HEADER_ROWS, Row, TableHeader, TableReference,
};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
/// Elements are allocated as they come, so that an idle node pays for what it uses.
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;

#[btf_map]
static FRONTENDS: HashMap<SocketAddress, u64, 16_384, NO_PREALLOC> = HashMap::new();
#[btf_map]
static SERVICES: Array<u64, 16_384, MMAPABLE> = Array::new();
#[btf_map]
static TABLE_ROWS: Array<Row, 262_144, MMAPABLE> = Array::new();
#[btf_map]
static ENDPOINTS: Array<EndpointRecord, 65_536, MMAPABLE> = Array::new();
#[btf_map]
static ENDPOINT_ADDRS: HashMap<SocketAddress, u32, 65_536, NO_PREALLOC> = HashMap::new();
#[btf_map]
static AFFINITY: Array<AffinitySet, { SETS as usize }> = Array::new();
#[btf_map]
static SOCKETS: SkStorage<SocketState> = SkStorage::new();
#[btf_map]
static CONNECTIONS: HashMap<ConnectionKey, ConnectionRow, 8_192, NO_PREALLOC> = HashMap::new();
#[btf_map]
static WORKLOAD_ADDRS: HashMap<Address, u64, 65_536, NO_PREALLOC> = HashMap::new();
#[btf_map]
static NETNS_SOURCES: HashMap<u64, u64, 4_096, NO_PREALLOC> = HashMap::new();
#[btf_map]
static HOST_SOURCES: HashMap<HostSourceKey, u32, 256, NO_PREALLOC> = HashMap::new();
#[btf_map]
static HOST_SOURCE_NXT: Array<u64, 1> = Array::new();
#[btf_map]
static COUNTERS: PerCpuArray<u64, { Counter::COUNT }> = PerCpuArray::new();

#[unsafe(no_mangle)]
static HOST_NETNS_COOKIE: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
static SK_ERR_OFFSET: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SK_FLAGS_OFFSET: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static HAS_MPTCP: Global<u8> = Global::new(0);

/// How often a frontend is looked for whose element the kernel has just reused.
const FRONTEND_LOOKS: u32 = 3;

/// What a new row is made of: 560 bytes are too many for the stack of 512.
static EMPTY_ROW: ConnectionRow = ConnectionRow {
    opened: 0,
    closed: [0; CloseReason::COUNT],
    failed: [0; ConnectError::COUNT],
    connect: EMPTY_HISTOGRAM,
    rtt: EMPTY_HISTOGRAM,
    sent_bytes: 0,
    received_bytes: 0,
    retransmits: 0,
    bypassed: [0; Bypass::COUNT],
};
const EMPTY_HISTOGRAM: Histogram = Histogram {
    buckets: [0; histogram::BUCKETS],
    sum_ns: 0,
};

/// The network namespace cookie of the host.
#[inline(always)]
pub(crate) fn host_netns_cookie() -> u64 {
    HOST_NETNS_COOKIE.load()
}

/// Offset of `sk_err` in the kernel's `struct sock`; zero: unknown.
#[inline(always)]
pub(crate) fn sk_err_offset() -> u32 {
    SK_ERR_OFFSET.load()
}

/// Offset of `sk_flags` in the kernel's `struct sock`; zero: unknown.
#[inline(always)]
pub(crate) fn sk_flags_offset() -> u32 {
    SK_FLAGS_OFFSET.load()
}

/// Whether the kernel has MPTCP. If not, the verifier refuses the helper that asks for it, unless this is constant.
#[inline(always)]
pub(crate) fn has_mptcp() -> bool {
    HAS_MPTCP.load() != 0
}

/// Counts one event.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // An event in a softirq may interrupt one in a system call on the same CPU.
        // SAFETY: the pointer is this CPU's slot of the counter.
        unsafe { atomic::add(value, 1) };
    }
}

/// The service that has this address.
#[inline(always)]
pub(crate) fn frontend(address: &SocketAddress) -> Option<u32> {
    for _ in 0..FRONTEND_LOOKS {
        let entry = FRONTENDS.get_ptr(address)?;
        // SAFETY: a value of the map, an aligned word.
        let entry = FrontendEntry(unsafe { entry.read_volatile() });
        if let Some(service) = entry.service(address) {
            return Some(service);
        }
    }
    count(Counter::TornTable);
    None
}

/// The endpoint that listens there.
#[inline(always)]
pub(crate) fn endpoint_at(address: &SocketAddress) -> Option<u32> {
    endpoint_entry_at(address).map(EndpointEntry::endpoint)
}

/// The endpoint that listens there, and whether it is the only one.
#[inline(always)]
pub(crate) fn endpoint_entry_at(address: &SocketAddress) -> Option<EndpointEntry> {
    let entry = ENDPOINT_ADDRS.get_ptr(address)?;
    // SAFETY: a value of the map, an aligned word.
    Some(EndpointEntry(unsafe { entry.read_volatile() }))
}

/// Where a service's table begins, in one read.
#[inline(always)]
pub(crate) fn table_of(service: u32) -> Option<u32> {
    let reference = SERVICES.get_ptr(service)?;
    // SAFETY: a value of the map, an aligned word that the agent stores at once.
    let reference = unsafe { reference.read_volatile() };
    TableReference(reference).offset()
}

#[inline(always)]
fn row(index: u32) -> Option<Row> {
    let row = TABLE_ROWS.get_ptr(index)?;
    // SAFETY: a value of the map, an aligned word that the agent stores at once.
    Some(unsafe { row.read_volatile() })
}

/// The header of the table at row `offset`.
#[inline(always)]
pub(crate) fn table_header(offset: u32) -> Option<TableHeader> {
    Some(TableHeader::from_rows([
        row(offset)?,
        row(offset.wrapping_add(1))?,
        row(offset.wrapping_add(2))?,
    ]))
}

/// The endpoint id in the `index`-th row behind the header of the table at row `offset`.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an endpoint id has 32 bits"
)]
pub(crate) fn table_endpoint(offset: u32, index: u32) -> Option<u32> {
    row(offset.wrapping_add(HEADER_ROWS).wrapping_add(index)).map(|row| row as u32)
}

/// What an endpoint says of itself.
#[inline(always)]
pub(crate) fn endpoint(id: u32) -> Option<EndpointRecord> {
    let record = ENDPOINTS.get_ptr(id)?;
    // SAFETY: a value of the map. Only `usable`, one aligned word, changes while a table or an address names the id.
    Some(unsafe { record.read_volatile() })
}

/// The affinity set of this index.
#[inline(always)]
pub(crate) fn affinity(set: u32) -> Option<AffinityWays> {
    AFFINITY
        .get_ptr_mut(set)
        .and_then(NonNull::new)
        .map(AffinityWays)
}

#[inline(always)]
fn storage(socket: Socket, flags: u32) -> Option<StoredSocket> {
    let map = (&raw const SOCKETS).cast_mut();
    // SAFETY: the map is a socket storage and the socket is valid; without an initial value it begins with zeros.
    let state = unsafe {
        bpf_sk_storage_get(
            map.cast(),
            socket.as_ptr().cast(),
            core::ptr::null_mut(),
            u64::from(flags),
        )
    };
    NonNull::new(state.cast()).map(StoredSocket)
}

/// The socket's state, if it has any.
#[inline(always)]
pub(crate) fn socket(socket: Socket) -> Option<StoredSocket> {
    storage(socket, 0)
}

/// Gives the socket a state, in place of any older one; says whether there was memory for it.
#[inline(always)]
pub(crate) fn store_socket(socket: Socket, state: &SocketState) -> bool {
    let Some(stored) = storage(socket, BPF_SK_STORAGE_GET_F_CREATE) else {
        return false;
    };
    // SAFETY: points to the socket's state, which nobody else writes while the socket is locked.
    unsafe { stored.0.write(*state) };
    true
}

/// The row, if there is one.
#[inline(always)]
pub(crate) fn connection_row(key: &ConnectionKey) -> Option<Counts<ConnectionRow>> {
    CONNECTIONS
        .get_ptr_mut(key)
        .and_then(NonNull::new)
        .map(Counts)
}

/// The row, made if need be; `None`: no room or no memory.
#[inline(always)]
pub(crate) fn connection_row_or_new(key: &ConnectionKey) -> Option<Counts<ConnectionRow>> {
    if let Some(row) = connection_row(key) {
        return Some(row);
    }
    // Another CPU may be faster: then its row is the one.
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "by value it would be copied to the stack"
    )]
    let _exists_or_full: Result<(), i32> =
        CONNECTIONS.insert(key, &EMPTY_ROW, u64::from(BPF_NOEXIST));
    connection_row(key)
}

/// The source id of the local address.
#[inline(always)]
pub(crate) fn source_at(address: &Address) -> Option<u32> {
    let entry = WORKLOAD_ADDRS.get_ptr(address)?;
    // SAFETY: a value of the map, an aligned word.
    Some(CallerEntry(unsafe { entry.read_volatile() }).source())
}

/// Whose the network namespace is.
#[inline(always)]
pub(crate) fn caller_in(netns_cookie: u64) -> Option<CallerEntry> {
    let entry = NETNS_SOURCES.get_ptr(netns_cookie)?;
    // SAFETY: a value of the map, an aligned word.
    Some(CallerEntry(unsafe { entry.read_volatile() }))
}

/// The source id of a process of the host.
#[inline(always)]
pub(crate) fn host_source(key: &HostSourceKey) -> Option<u32> {
    let id = HOST_SOURCES.get_ptr(key)?;
    // SAFETY: a value of the map, an aligned word.
    Some(unsafe { id.read_volatile() })
}

/// Gives a process of the host the id, unless it has one by now; says which one it has, `None`: no room.
#[inline(always)]
pub(crate) fn name_host_source(key: &HostSourceKey, id: u32) -> Option<u32> {
    let _exists_or_full: Result<(), i32> = HOST_SOURCES.insert(key, id, u64::from(BPF_NOEXIST));
    host_source(key)
}

/// Takes the next number for a process of the host.
#[inline(always)]
pub(crate) fn take_host_number() -> Option<u64> {
    let next = HOST_SOURCE_NXT.get_ptr_mut(0)?;
    // SAFETY: a value of the map, an aligned word.
    Some(unsafe { atomic::fetch_add(next, 1) })
}
