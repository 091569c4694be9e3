//! The endpoints of the services in force.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `/api/endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Ordered by service, port and address.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of one service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// `namespace/name` of the Service.
    pub service: String,
    /// The service port.
    pub port: u16,
    /// Where it listens.
    pub address: SocketAddr,
    /// `namespace/name` of the workload behind it, if known.
    pub workload: Option<String>,
    /// `namespace/name` of the pod, if known.
    pub pod: Option<String>,
    /// The node it runs on, if known.
    pub node: Option<String>,
    /// Its zone, if known.
    pub zone: Option<String>,
    /// `in use`, or why it gets no new connections: `not ready`, `terminating`, `other locality`. One that is in use may be
    /// `ejected`, since it failed: the proxy sends it no requests; or `probed`: one request sees if it is well again.
    pub state: String,
    /// Its rows in the service's table; zero where it gets no new connections.
    pub weight: u32,
}
