//! Who connects, as far as the kernel can tell.

use crate::maps;
use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_comm};
use mesh_common::address::Address;
use mesh_common::counter::Counter;
use mesh_common::socket::SocketState;
use mesh_common::source::{self, HostSourceKey, SOURCE_HOST_OTHER, SOURCE_UNKNOWN};

/// The source id at `connect()`, when the calling process is still the current one.
#[inline(always)]
pub(crate) fn at_connect(netns_cookie: u64) -> u32 {
    if let Some(caller) = maps::caller_in(netns_cookie) {
        return caller.source();
    }
    if netns_cookie == maps::host_netns_cookie() {
        return of_host_process();
    }
    SOURCE_UNKNOWN
}

/// The source id when the SYN is built: now the socket has a local address, by which a pod may be known.
#[inline(always)]
pub(crate) fn at_syn(state: &SocketState, local: &Address) -> u32 {
    if state.source != SOURCE_UNKNOWN {
        return state.source;
    }
    maps::source_at(local).unwrap_or(SOURCE_UNKNOWN)
}

#[inline(always)]
fn of_host_process() -> u32 {
    let key = HostSourceKey {
        // SAFETY: has no preconditions.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        command: bpf_get_current_comm().unwrap_or_default(),
    };
    if let Some(id) = maps::host_source(&key) {
        return id;
    }
    let named = maps::take_host_number()
        .and_then(source::host_source)
        .and_then(|id| maps::name_host_source(&key, id));
    named.unwrap_or_else(|| {
        maps::count(Counter::HostSourcesFull);
        SOURCE_HOST_OTHER
    })
}
