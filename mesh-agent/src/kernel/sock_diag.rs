//! Open TCP sockets with what the mesh remembers of them: one `SOCK_DIAG` dump per address family that brings
//! `tcp_info` and the socket storage along (kernel 5.7, needs `CAP_BPF` and `CAP_NET_ADMIN`).

use super::netlink::{Attributes, NESTED, attribute, dump};
use mesh_common::address::{Address, SocketAddress};
use mesh_common::connection::{payload_received, payload_sent};
use mesh_common::socket::SocketState;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;

/// `INET_DIAG_REQ_SK_BPF_STORAGES` and, in it, `SK_DIAG_BPF_STORAGE_REQ_MAP_FD`.
const REQUEST_STORAGES: u16 = 2;
const REQUEST_MAP_FD: u16 = 1;

/// `INET_DIAG_INFO`, an answer's attribute; asked for by the bit below it.
const INFO: u16 = 2;
const WANT_INFO: u8 = 1 << (INFO - 1);

/// `INET_DIAG_SK_BPF_STORAGES`, in it `SK_DIAG_BPF_STORAGE`, and in that the value.
const STORAGES: u16 = 20;
const STORAGE: u16 = 1;
const STORAGE_VALUE: u16 = 3;

/// States of `net/tcp_states.h`.
mod tcp {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const SYN_SENT: u8 = 2;
    pub(super) const FIN_WAIT1: u8 = 4;
    pub(super) const FIN_WAIT2: u8 = 5;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const CLOSING: u8 = 11;
}

/// States of a connection that is opening, open or closing.
const STATES: u32 = 1 << tcp::ESTABLISHED
    | 1 << tcp::SYN_SENT
    | 1 << tcp::FIN_WAIT1
    | 1 << tcp::FIN_WAIT2
    | 1 << tcp::CLOSE_WAIT
    | 1 << tcp::LAST_ACK
    | 1 << tcp::CLOSING;

/// `struct inet_diag_sockid`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct SocketId {
    source_port: [u8; 2],
    destination_port: [u8; 2],
    source: [u8; 16],
    destination: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Request {
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: SocketId,
}

/// `struct inet_diag_msg`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Answer {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: SocketId,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    user: u32,
    inode: u32,
}

/// The part of `struct tcp_info` up to what is needed of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct TcpInfo {
    state: u8,
    before_rtt: [u8; 67],
    rtt_us: u32,
    before_retransmits: [u32; 7],
    total_retransmits: u32,
    pacing: [u64; 2],
    bytes_acked: u64,
    bytes_received: u64,
}

const _: () = assert!(size_of::<Answer>() == 72 && size_of::<Request>() == 56);
const _: () = assert!(std::mem::offset_of!(TcpInfo, rtt_us) == 68);
const _: () = assert!(std::mem::offset_of!(TcpInfo, total_retransmits) == 100);
const _: () = assert!(std::mem::offset_of!(TcpInfo, bytes_acked) == 120);

/// An open socket of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenSocket {
    /// Its own end.
    pub(super) local: SocketAddress,
    /// The other end: the endpoint.
    pub(super) remote: SocketAddress,
    /// What the kernel programs remember of it.
    pub(super) remembered: SocketState,
    /// `connecting`, `established` or `closing`.
    pub(super) state: &'static str,
    /// Smoothed round-trip time in µs.
    pub(super) rtt_us: u32,
    /// Payload bytes the peer has acknowledged.
    pub(super) sent_bytes: u64,
    /// Payload bytes received.
    pub(super) received_bytes: u64,
    /// Segments sent again.
    pub(super) retransmits: u64,
}

/// Hands every open socket of the calling thread's network namespace that has an entry in `storage` to `visit`.
///
/// # Errors
///
/// The kernel refuses the dump.
pub(super) fn dump_sockets(
    storage: BorrowedFd<'_>,
    mut visit: impl FnMut(OpenSocket),
) -> io::Result<()> {
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = request(family, storage);
        dump(
            Some(rustix::net::netlink::SOCK_DIAG),
            BY_FAMILY,
            &request,
            |answer| {
                if let Some(socket) = parse(answer) {
                    visit(socket);
                }
            },
        )?;
    }
    Ok(())
}

fn request(family: libc::c_int, storage: BorrowedFd<'_>) -> Vec<u8> {
    let mut request = Request::new_zeroed();
    request.family = u8::try_from(family).unwrap_or_default();
    request.protocol = u8::try_from(libc::IPPROTO_TCP).unwrap_or_default();
    request.extensions = WANT_INFO;
    request.states = STATES;
    let map = attribute(REQUEST_MAP_FD, &storage.as_raw_fd().to_ne_bytes());
    let storages = attribute(REQUEST_STORAGES | NESTED, &map);
    [request.as_bytes(), &storages].concat()
}

/// Reads one answer; `None` for sockets that are not the mesh's.
fn parse(bytes: &[u8]) -> Option<OpenSocket> {
    let (answer, attributes) = Answer::read_from_prefix(bytes).ok()?;
    let attributes = Attributes::new(attributes);
    let storage = Attributes::new(attributes.find(STORAGES)?).find(STORAGE)?;
    let value = Attributes::new(storage).find(STORAGE_VALUE)?;
    let (remembered, _) = SocketState::read_from_prefix(value).ok()?;
    let (info, _) = TcpInfo::read_from_prefix(attributes.find(INFO)?).ok()?;
    let fin_acked = info.state == tcp::FIN_WAIT2;
    let fin_received = matches!(info.state, tcp::CLOSE_WAIT | tcp::CLOSING | tcp::LAST_ACK);
    Some(OpenSocket {
        local: address(answer.family, answer.id.source, answer.id.source_port),
        remote: address(
            answer.family,
            answer.id.destination,
            answer.id.destination_port,
        ),
        remembered,
        state: match info.state {
            tcp::SYN_SENT => "connecting",
            tcp::ESTABLISHED => "established",
            _ => "closing",
        },
        rtt_us: info.rtt_us,
        sent_bytes: payload_sent(info.bytes_acked, fin_acked),
        received_bytes: payload_received(info.bytes_received, fin_received),
        retransmits: info.total_retransmits.into(),
    })
}

fn address(family: u8, octets: [u8; 16], port: [u8; 2]) -> SocketAddress {
    let address = if i32::from(family) == libc::AF_INET {
        let [a, b, c, d, ..] = octets;
        Address::from_v4([a, b, c, d])
    } else {
        Address::from_v6(octets)
    };
    SocketAddress::new(address, u16::from_be_bytes(port))
}

#[cfg(test)]
mod tests {
    use super::{Answer, INFO, STORAGE, STORAGE_VALUE, STORAGES, TcpInfo, parse, tcp};
    use crate::kernel::netlink::{NESTED, attribute};
    use mesh_common::address::SocketAddress;
    use mesh_common::socket::SocketState;
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use zerocopy::{FromZeros, IntoBytes};

    fn remembered() -> SocketState {
        let mut state = SocketState::new_zeroed();
        state.source = 7;
        state.destination = 9;
        state.requested = SocketAddress::from("10.96.0.10:80".parse::<SocketAddr>().unwrap());
        state
    }

    fn answer(state: u8) -> Vec<u8> {
        let mut answer = Answer::new_zeroed();
        answer.family = 2;
        answer.state = state;
        answer.id.source_port = 40_000_u16.to_be_bytes();
        answer.id.source[..4].copy_from_slice(&[10, 0, 0, 1]);
        answer.id.destination_port = 8080_u16.to_be_bytes();
        answer.id.destination[..4].copy_from_slice(&[10, 0, 0, 2]);
        let mut info = TcpInfo::new_zeroed();
        info.state = state;
        info.rtt_us = 250;
        info.total_retransmits = 3;
        info.bytes_acked = 1_001;
        info.bytes_received = 2_000;
        let value = attribute(STORAGE_VALUE, remembered().as_bytes());
        let storage = [attribute(2, &5_u32.to_ne_bytes()), value].concat();
        [
            answer.as_bytes(),
            &attribute(INFO, info.as_bytes()),
            &attribute(STORAGES | NESTED, &attribute(STORAGE | NESTED, &storage)),
        ]
        .concat()
    }

    #[test]
    fn a_socket_comes_with_what_the_mesh_remembers_of_it() {
        let socket = parse(&answer(tcp::ESTABLISHED)).unwrap();

        assert_eq!(
            SocketAddr::from(socket.local),
            "10.0.0.1:40000".parse().unwrap()
        );
        assert_eq!(
            SocketAddr::from(socket.remote),
            "10.0.0.2:8080".parse().unwrap()
        );
        assert_eq!(socket.remembered, remembered());
        assert_eq!(socket.state, "established");
        assert_eq!((socket.rtt_us, socket.retransmits), (250, 3));
    }

    #[test]
    fn bytes_are_payload_whichever_side_has_finished() {
        for (state, sent, received) in [
            (tcp::ESTABLISHED, 1_000, 2_000),
            (tcp::FIN_WAIT1, 1_000, 2_000),
            (tcp::FIN_WAIT2, 999, 2_000),
            (tcp::CLOSE_WAIT, 1_000, 1_999),
            (tcp::LAST_ACK, 1_000, 1_999),
            (tcp::CLOSING, 1_000, 1_999),
        ] {
            let socket = parse(&answer(state)).unwrap();
            assert_eq!(
                (socket.sent_bytes, socket.received_bytes),
                (sent, received),
                "state {state}"
            );
        }
    }

    #[test]
    fn a_socket_without_storage_is_not_the_mesh_s() {
        let bytes = [
            Answer::new_zeroed().as_bytes(),
            &attribute(INFO, TcpInfo::new_zeroed().as_bytes()),
        ]
        .concat();

        assert_eq!(parse(&bytes), None);
    }

    proptest! {
        #[test]
        fn damaged_answers_do_not_panic(position in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
            let mut bytes = answer(tcp::ESTABLISHED);
            let length = bytes.len();
            bytes[position % length] = byte;
            bytes.truncate(cut % (length + 1));
            let _socket = parse(&bytes);
        }
    }
}
