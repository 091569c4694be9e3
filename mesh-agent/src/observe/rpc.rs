//! RPCs, as the kernel meters them.

use super::{DestinationLabels, Exemplar, SourceLabels};
use mesh_common::histogram::Histogram;
use mesh_common::meter::StatusCode;
use std::sync::Arc;

/// What everything that is counted of RPCs is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RpcLabels {
    /// Who calls.
    pub source: SourceLabels,
    /// Who answers.
    pub destination: DestinationLabels,
    /// `package.Service/Method`, or `_OTHER`.
    pub method: Arc<str>,
}

/// Calls that have ended with one status, seen from one side.
#[derive(Clone, Debug)]
pub struct CallSeries {
    /// What they are counted by.
    pub labels: RpcLabels,
    /// How they ended.
    pub status: StatusCode,
    /// From the request's headers to the end of the response.
    pub duration: Histogram,
    /// Calls of which a trace is known, at most one of each bucket.
    pub exemplars: Vec<Exemplar>,
}

/// Everything else that is known of RPCs with the same labels, each counted once on this node.
#[derive(Clone, Debug)]
pub struct RpcSeries {
    /// What they are counted by.
    pub labels: RpcLabels,
    /// Whether the client is on this node; else the server alone is.
    pub is_client: bool,
    /// RPCs that have ended.
    pub completed: u64,
    /// RPCs that are open.
    pub active: u64,
    /// From the request's headers to the response's, open RPCs included.
    pub first_response: Histogram,
    /// Payload bytes of requests, open RPCs included.
    pub request_bytes: u64,
    /// Payload bytes of responses, open RPCs included.
    pub response_bytes: u64,
}

/// Directions of open connections that the meter understands so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directions {
    /// How far ([`mesh_common::meter::Mode`]).
    pub state: &'static str,
    /// From client to server.
    pub request: u64,
    /// From server to client.
    pub response: u64,
}

/// Everything known of RPCs at one moment.
#[derive(Clone, Debug, Default)]
pub struct RpcFigures {
    /// Calls by clients on this node, ordered.
    pub client: Vec<CallSeries>,
    /// Calls that servers on this node answered, ordered.
    pub server: Vec<CallSeries>,
    /// What else is known of both, ordered.
    pub rpcs: Vec<RpcSeries>,
    /// RPCs that are open now.
    pub active: u64,
    /// What became of RPCs: started = completed + active + aborted + lost + table_full.
    pub events: Vec<(&'static str, u64)>,
    /// Why something was not metered, by reason ([`mesh_common::meter::count::Skip`]).
    pub skipped: Vec<(&'static str, u64)>,
    /// By state.
    pub directions: Vec<Directions>,
}
