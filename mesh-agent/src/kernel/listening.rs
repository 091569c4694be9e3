//! The proxy's listening sockets in one network namespace.

use mesh_common::AGENT_SOCKET_MARK;
use mesh_common::capture::{IPV4, IPV6, ListenerKey};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// Connections that wait to be accepted; the kernel cuts it down to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// As for connections to endpoints: a caller that has vanished.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens the listeners of the namespace that the calling thread is in: at `127.0.0.1`, and at `[::1]` if that is there. Where
/// `port` is taken they have another one.
///
/// # Errors
///
/// None could be opened.
pub(super) fn open(netns_cookie: u64, port: u16) -> io::Result<Vec<(ListenerKey, TcpListener)>> {
    let mut opened = Vec::new();
    let loopback = [
        (IPV4, IpAddr::V4(Ipv4Addr::LOCALHOST)),
        (IPV6, IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    for (family, address) in loopback {
        match listen(address, port) {
            Ok(listener) => {
                let key = ListenerKey {
                    netns_cookie,
                    family,
                    reserved: 0,
                };
                opened.push((key, listener));
            }
            Err(error) if is_without_family(&error) && family == IPV6 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
}

/// What is said where IPv6 is switched off or not built in.
fn is_without_family(error: &io::Error) -> bool {
    let errors = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    errors
        .iter()
        .any(|known| error.raw_os_error() == Some(known.raw_os_error()))
}

fn listen(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    match listen_at(SocketAddr::new(address, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            listen_at(SocketAddr::new(address, 0))
        }
        result => result,
    }
}

/// Accepted sockets inherit the options.
fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What an agent before this one had accepted may linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_mark(AGENT_SOCKET_MARK)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
