//! A socket is released: the last chance to count an attempt of which no SYN came.
//!
//! Oldest kernel: 5.9 (socket storage for this hook).

use crate::ctx::{self, Socket};
use crate::{maps, meter, tally};
use aya_ebpf::macros::cgroup_sock;
use aya_ebpf::programs::SockContext;
use mesh_common::connection::ConnectError;
use mesh_common::ending::tcp_state;
use mesh_common::socket::Phase;

/// The kernel ignores the answer.
const ALLOW: i32 = 1;

/// The application's last descriptor of a socket is closed.
#[cgroup_sock(sock_release)]
pub(crate) fn release(ctx: SockContext) -> i32 {
    let socket = ctx::released_socket(&ctx);
    settle(socket);
    meter::released(socket);
    ALLOW
}

#[inline(always)]
fn settle(socket: Socket) {
    let Some(stored) = maps::socket(socket) else {
        return;
    };
    let state = stored.get();
    if state.phase != Phase::Attempted as u32 {
        return;
    }
    match socket.state() {
        tcp_state::CLOSE => tally::failed(&stored, &state, ConnectError::Local, 0),
        // TCP Fast Open: the SYN was to go with the first data, which never came.
        tcp_state::SYN_SENT => tally::failed(&stored, &state, ConnectError::Cancelled, 0),
        // `connection` was not attached when the SYN left: nobody knows what this connection did.
        _ => stored.set_phase(Phase::Done),
    }
}
