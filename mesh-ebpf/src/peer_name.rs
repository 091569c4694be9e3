//! `getpeername()`: a socket that was rewritten is told the address it asked for.
//!
//! Oldest kernel: 5.8.

use crate::ctx::{Family, SocketCall};
use crate::maps;
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use mesh_common::counter::Counter;
use mesh_common::decide;

/// The kernel accepts no other answer from this hook.
const ALLOW: i32 = 1;

/// `getpeername()` of an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn getpeername4(ctx: SockAddrContext) -> i32 {
    answer(&SocketCall::new(&ctx, Family::V4))
}

/// `getpeername()` of an IPv6 socket; one that talks IPv4 gets v4-mapped addresses.
#[cgroup_sock_addr(getpeername6)]
pub(crate) fn getpeername6(ctx: SockAddrContext) -> i32 {
    answer(&SocketCall::new(&ctx, Family::V6))
}

#[inline(always)]
fn answer(call: &SocketCall) -> i32 {
    let Some(stored) = maps::socket(call.socket()) else {
        return ALLOW;
    };
    if let Some(name) = decide::peer_name(&stored.get(), &call.address())
        && call.set_address(&name)
    {
        maps::count(Counter::PeerNameAnswered);
    }
    ALLOW
}
