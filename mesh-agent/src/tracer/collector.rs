//! The connection to the collector of spans: made when it is needed, and marked as the agent's own.

use mesh_common::AGENT_SOCKET_MARK;
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tonic::transport::{Channel, Endpoint, Uri};
use tower_service::Service;

/// Time for a connection, so that a collector that is not there does not hold up those that come after.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The port of OTLP over gRPC.
const PORT: u16 = 4_317;

/// Makes a channel that connects when it is first used, and again after every failure.
#[must_use]
pub fn connect(uri: Uri, timeout: Duration) -> Channel {
    Endpoint::from(uri)
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT)
        .connect_with_connector_lazy(Dialler)
}

/// Connects for tonic. The mesh leaves its sockets alone: spans about the delivery of spans would never end.
#[derive(Clone, Copy, Debug)]
struct Dialler;

impl Service<Uri> for Dialler {
    type Response = hyper_util::rt::TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move { dial(&uri).await.map(hyper_util::rt::TokioIo::new) })
    }
}

async fn dial(uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host((host, uri.port_u16().unwrap_or(PORT))).await? {
        match dial_address(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn dial_address(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    SockRef::from(&socket).set_mark(AGENT_SOCKET_MARK)?;
    socket.connect(address).await
}
