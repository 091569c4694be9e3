//! How the proxy comes by its connections: accepted ones with what is known of the caller, and new ones to endpoints.

use crate::model::ObjectName;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;

/// A connection whose first bytes are the preface of HTTP/2 (RFC 9113, 3.4), none of them consumed.
#[derive(Debug)]
pub struct Accepted {
    /// The caller's connection.
    pub stream: TcpStream,
    /// What the caller asked for: an address of a Service and its port.
    pub requested: SocketAddr,
    /// The caller's own address, as `getpeername` gives it.
    pub peer: SocketAddr,
    /// Who calls.
    pub caller: Caller,
}

/// Who opened a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Cookie of the caller's network namespace.
    pub netns: u64,
    /// The caller's Kubernetes namespace; `None`: unknown, which meets producer routes only.
    pub namespace: Option<Arc<str>>,
    /// The caller's workload; `None`: unknown.
    pub workload: Option<ObjectName>,
    /// The address that the caller bound before it connected, which its connections upstream come from too.
    pub source: Option<IpAddr>,
}

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send + 'a>>;

/// Makes connections to endpoints: in the caller's network namespace, or in the agent's own (tests).
pub trait Connect: Send + Sync {
    /// Connects to `endpoint` from the network namespace with this cookie, from `source` if there is one.
    ///
    /// # Errors
    /// What `connect()` says; also if the namespace is gone.
    fn connect(
        &self,
        caller_netns: u64,
        source: Option<IpAddr>,
        endpoint: SocketAddr,
    ) -> Connecting<'_>;
}
