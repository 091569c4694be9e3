//! The endpoints of the services in force.

use super::quantity::duration;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `/api/endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Ordered by service, port and address.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of one service port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// `in use`, or why it gets no new connections: `not ready`, `terminating`, `other locality`; `ejected` or `probing`: it is in
    /// use, but gets no requests through the proxy, or one to see whether it is well.
    pub state: String,
    /// How many seconds it is `ejected` for yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected_seconds: Option<f64>,
    /// Its rows in the service's table; zero unless in use.
    pub weight: u32,
}

impl Endpoint {
    /// The state in words: for how long, too.
    #[must_use]
    pub fn state_in_words(&self) -> String {
        match self.ejected_seconds {
            Some(seconds) if seconds > 0.0 => format!("{} for {}", self.state, duration(seconds)),
            Some(_) => format!("{}, its next request is a probe", self.state),
            None => self.state.clone(),
        }
    }
}
