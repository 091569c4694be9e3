//! Connections that are open now.

use crate::observe::OpenConnection;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `/api/connections`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// How many there are.
    pub total: usize,
    /// The first of them, at most [`Connections::LISTED_MAX`].
    pub connections: Vec<Connection>,
}

impl Connections {
    /// How many one answer lists: bounds the answer to a few megabytes.
    pub const LISTED_MAX: usize = 10_000;
}

impl From<&[OpenConnection]> for Connections {
    fn from(open: &[OpenConnection]) -> Self {
        Self {
            total: open.len(),
            connections: open
                .iter()
                .take(Self::LISTED_MAX)
                .map(Connection::from)
                .collect(),
        }
    }
}

/// One open mesh connection, at its connecting side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Source workload: `namespace/name`, or the host's unit or process.
    pub source: String,
    /// Local address and port.
    pub local: SocketAddr,
    /// What the application asked for.
    pub requested: SocketAddr,
    /// `direct` or `routed`.
    pub path: String,
    /// The endpoint it reached; none: the proxy, which goes to endpoints request by request.
    pub endpoint: Option<SocketAddr>,
    /// `namespace/name` of the Service.
    pub service: String,
    /// `namespace/name` of the workload behind the endpoint; empty if unknown or routed.
    pub workload: String,
    /// `connecting`, `established` or `closing`.
    pub state: String,
    /// Age in seconds.
    pub age_seconds: f64,
    /// Smoothed round-trip time in seconds.
    pub rtt_seconds: f64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Retransmitted segments.
    pub retransmits: u64,
}

impl From<&OpenConnection> for Connection {
    fn from(open: &OpenConnection) -> Self {
        Self {
            source: open.source.clone(),
            local: open.local,
            requested: open.requested,
            path: open.path.as_str().to_owned(),
            endpoint: open.endpoint,
            service: open.service.clone(),
            workload: open.workload.clone(),
            state: open.state.to_owned(),
            age_seconds: open.age_seconds,
            rtt_seconds: open.rtt_seconds,
            sent_bytes: open.sent_bytes,
            received_bytes: open.received_bytes,
            retransmits: open.retransmits,
        }
    }
}
