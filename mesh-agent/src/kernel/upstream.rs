//! Sockets for connections to endpoints, made in the network namespaces of those who call them.
//!
//! A thread enters the namespace that a socket is wanted in and stays there until the next one: there is no way back that
//! could fail. What connects and uses the socket need not be in the namespace.

use super::registry::Registry;
use mesh_common::AGENT_SOCKET_MARK;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Orders that wait; beyond that the one who orders is told so.
const WAITING_MAX: usize = 4_096;

/// How long what was sent may stay unacknowledged (`TCP_USER_TIMEOUT`; the default of gRFC A18).
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// A socket to be made. Whoever ordered it is told, if only by the order being dropped.
pub struct UpstreamOrder {
    /// The cookie of the network namespace it is to be in.
    pub netns_cookie: u64,
    /// Whether it is to be an IPv6 socket.
    pub is_ipv6: bool,
    /// The address it is to be bound to.
    pub source: Option<IpAddr>,
    /// Takes the socket: unconnected, not blocking, `TCP_NODELAY`, never captured. `NotFound`: the namespace is gone.
    pub reply: Box<dyn FnOnce(io::Result<TcpStream>) + Send>,
}

/// Where sockets are ordered. Cheap to clone.
#[derive(Clone)]
pub struct MakeUpstream(SyncSender<UpstreamOrder>);

impl MakeUpstream {
    /// Orders a socket. Where too many wait or nobody makes any, the order is answered so.
    pub fn order(&self, order: UpstreamOrder) {
        if let Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) =
            self.0.try_send(order)
        {
            (order.reply)(Err(io::ErrorKind::WouldBlock.into()));
        }
    }
}

/// Makes the sockets, on a thread of its own.
#[derive(Debug)]
pub struct UpstreamSockets {
    orders: Receiver<UpstreamOrder>,
    namespaces: Registry,
}

impl UpstreamSockets {
    pub(super) fn new(namespaces: Registry) -> (Self, MakeUpstream) {
        let (orders, outlet) = sync_channel(WAITING_MAX);
        let sockets = Self {
            orders: outlet,
            namespaces,
        };
        (sockets, MakeUpstream(orders))
    }

    /// Makes sockets until nobody can order any more. The calling thread does not leave the last namespace.
    pub fn serve(self) {
        let mut inside = None;
        while let Ok(order) = self.orders.recv() {
            let UpstreamOrder {
                netns_cookie,
                is_ipv6,
                source,
                reply,
            } = order;
            let made = self
                .enter(netns_cookie, &mut inside)
                .and_then(|()| make(is_ipv6, source));
            reply(made);
        }
    }

    fn enter(&self, cookie: u64, inside: &mut Option<u64>) -> io::Result<()> {
        let namespace = self.namespaces.get(cookie).ok_or(io::ErrorKind::NotFound)?;
        if *inside == Some(cookie) {
            return Ok(());
        }
        *inside = None;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        *inside = Some(cookie);
        Ok(())
    }
}

fn make(is_ipv6: bool, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let domain = if is_ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_mark(AGENT_SOCKET_MARK)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::{UpstreamOrder, UpstreamSockets};
    use crate::kernel::registry::Registry;
    use std::io;
    use std::sync::mpsc::channel;

    #[test]
    fn an_order_for_a_namespace_that_is_gone_is_answered() {
        let (sockets, orders) = UpstreamSockets::new(Registry::default());
        let (answer, answers) = channel();
        let order = |answer: std::sync::mpsc::Sender<io::Result<_>>| UpstreamOrder {
            netns_cookie: 7,
            is_ipv6: false,
            source: None,
            reply: Box::new(move |made| answer.send(made).unwrap()),
        };
        orders.order(order(answer));
        let late = orders.clone();
        drop(orders);
        let thread = std::thread::spawn(|| sockets.serve());

        let failed = answers.recv().unwrap().unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::NotFound);
        drop(late);
        thread.join().unwrap();
    }
}
