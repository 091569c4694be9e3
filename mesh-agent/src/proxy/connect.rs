//! Connections to endpoints.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// How connections to endpoints are made.
pub trait Connect: Send + Sync + 'static {
    /// Connects to `endpoint` from the network namespace with the cookie `caller_netns`, from the address `source` where the
    /// caller had bound one. Has no time limit of its own: dropping the future gives up.
    ///
    /// # Errors
    /// What `connect()` or making the socket says; `NotFound`: the namespace is gone.
    fn connect(
        &self,
        caller_netns: u64,
        source: Option<IpAddr>,
        endpoint: SocketAddr,
    ) -> impl Future<Output = io::Result<TcpStream>> + Send;
}

/// Connects from the namespace of the process itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainConnect;

impl Connect for PlainConnect {
    async fn connect(
        &self,
        _caller_netns: u64,
        source: Option<IpAddr>,
        endpoint: SocketAddr,
    ) -> io::Result<TcpStream> {
        let socket = if endpoint.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(endpoint).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The socket that a connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketWanted {
    /// The cookie of the network namespace it is to be in.
    pub netns: u64,
    /// Whether it is to be an IPv6 socket.
    pub is_ipv6: bool,
    /// The address it is to be bound to.
    pub source: Option<IpAddr>,
}

/// Makes a socket somewhere else and hands it over; dropping the sender without a word means that nobody can.
pub type MakeSocket = dyn Fn(SocketWanted, oneshot::Sender<io::Result<StdStream>>) + Send + Sync;

/// Connects from the caller's own namespace. Its sockets are made by a thread that enters namespaces: they are not blocking,
/// marked as the mesh's own, and unconnected.
#[derive(Clone)]
pub struct InNamespace {
    make: Arc<MakeSocket>,
}

impl InNamespace {
    /// Has its sockets made by `make`.
    #[must_use]
    pub fn new(make: Arc<MakeSocket>) -> Self {
        Self { make }
    }
}

impl Connect for InNamespace {
    async fn connect(
        &self,
        caller_netns: u64,
        source: Option<IpAddr>,
        endpoint: SocketAddr,
    ) -> io::Result<TcpStream> {
        let wanted = SocketWanted {
            netns: caller_netns,
            is_ipv6: endpoint.is_ipv6(),
            // An address of the other family cannot be kept.
            source: source.filter(|source| source.is_ipv6() == endpoint.is_ipv6()),
        };
        let (reply, made) = oneshot::channel();
        (self.make)(wanted, reply);
        let socket = made.await.map_err(|_| {
            io::Error::other("nobody makes sockets in network namespaces any more")
        })??;
        TcpSocket::from_std_stream(socket).connect(endpoint).await
    }
}

#[cfg(test)]
mod tests {
    use super::{Connect, InNamespace, PlainConnect, SocketWanted};
    use std::io;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream as StdStream};
    use std::sync::{Arc, Mutex};
    use tokio::net::TcpListener;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn unconnected() -> io::Result<StdStream> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    #[tokio::test]
    async fn both_ways_lead_to_the_endpoint() {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let endpoint = listener.local_addr().unwrap();
        let in_namespace = InNamespace::new(Arc::new(|_, reply| {
            reply.send(unconnected()).ok();
        }));

        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let plain = PlainConnect
            .connect(0, Some(source), endpoint)
            .await
            .unwrap();
        assert_eq!(plain.local_addr().unwrap().ip(), source);
        assert_eq!(
            listener.accept().await.unwrap().1,
            plain.local_addr().unwrap()
        );

        let stream = in_namespace.connect(7, None, endpoint).await.unwrap();
        assert_eq!(
            listener.accept().await.unwrap().1,
            stream.local_addr().unwrap()
        );
    }

    #[tokio::test]
    async fn a_source_of_the_other_family_is_let_go() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let connect = InNamespace::new(Arc::new(move |wanted, reply| {
            seen.lock().unwrap().push(wanted);
            reply.send(Err(io::ErrorKind::NotFound.into())).ok();
        }));
        let endpoint: SocketAddr = "[::1]:9".parse().unwrap();

        let failed = connect
            .connect(7, Some(LOOPBACK), endpoint)
            .await
            .unwrap_err();

        assert_eq!(failed.kind(), io::ErrorKind::NotFound);
        let wanted = SocketWanted {
            netns: 7,
            is_ipv6: true,
            source: None,
        };
        assert_eq!(*asked.lock().unwrap(), [wanted]);
    }

    #[tokio::test]
    async fn a_maker_that_is_gone_is_an_error() {
        let connect = InNamespace::new(Arc::new(|_, reply| drop(reply)));
        let endpoint = SocketAddr::new(LOOPBACK, 9);
        assert!(connect.connect(7, None, endpoint).await.is_err());
    }
}
