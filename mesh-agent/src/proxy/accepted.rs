//! A connection that the proxy is given, and what is known of its caller.

use crate::model::ObjectName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;

/// A connection whose first bytes are the preface of HTTP/2 (RFC 9113, 3.4), none of them consumed.
#[derive(Debug)]
pub struct Accepted {
    /// The caller's connection.
    pub stream: TcpStream,
    /// What the caller asked for: an address of a Service and its port.
    pub requested: SocketAddr,
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
    /// What stands for the caller where requests are told apart by their source: the address it bound, else one of its network
    /// namespace; `None`: not known.
    pub address: Option<IpAddr>,
}
