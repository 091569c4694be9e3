//! How calls through the proxy ended: one record for each, from which metrics, spans and the access log are made.

use super::{CallSpan, DestinationLabels, SourceLabels, TraceParent};
use http::uri::PathAndQuery;
use mesh_common::meter::StatusCode;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Why the mesh answered itself; the value of `mesh-error` and of `mesh_local_replies_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LocalReply {
    /// CONNECT is not for services.
    Connect,
    /// No rule matches.
    NoRoute,
    /// The rule's backendRef does not resolve.
    NoBackend,
    /// No endpoint is ready.
    NoEndpoint,
    /// No endpoint took a connection.
    ConnectFailure,
    /// A bound of the circuit breaker is reached.
    CircuitOpen,
    /// The caller has made too many requests.
    RateLimited,
    /// A failure made on purpose.
    Fault,
    /// The call took too long.
    Timeout,
    /// Nothing moved on the stream for too long.
    StreamIdle,
    /// The endpoint reset the stream before it answered.
    UpstreamReset,
    /// The connection to the endpoint was lost.
    ConnectionLost,
    /// The fallback answered.
    Fallback,
    /// The request cannot be passed on.
    Malformed,
}

impl LocalReply {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, each at its number.
    pub const ALL: [Self; 14] = [
        Self::Connect,
        Self::NoRoute,
        Self::NoBackend,
        Self::NoEndpoint,
        Self::ConnectFailure,
        Self::CircuitOpen,
        Self::RateLimited,
        Self::Fault,
        Self::Timeout,
        Self::StreamIdle,
        Self::UpstreamReset,
        Self::ConnectionLost,
        Self::Fallback,
        Self::Malformed,
    ];

    /// The reason as the header and the label have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect_refused",
            Self::NoRoute => "no_route",
            Self::NoBackend => "unresolved_backend",
            Self::NoEndpoint => "no_endpoint",
            Self::ConnectFailure => "connect_failure",
            Self::CircuitOpen => "circuit_open",
            Self::RateLimited => "rate_limited",
            Self::Fault => "fault",
            Self::Timeout => "timeout",
            Self::StreamIdle => "stream_idle",
            Self::UpstreamReset => "upstream_reset",
            Self::ConnectionLost => "connection_lost",
            Self::Fallback => "fallback",
            Self::Malformed => "malformed",
        }
    }
}

/// One call, from the request's head to the end of its answer.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// Who called.
    pub source: Arc<SourceLabels>,
    /// Whom it was for; the workload is that of the last try.
    pub destination: Arc<DestinationLabels>,
    /// `:path`; `None` for CONNECT.
    pub path: Option<PathAndQuery>,
    /// Whether it is gRPC.
    pub is_grpc: bool,
    /// When its head came.
    pub started: Instant,
    /// How long it took.
    pub duration: Duration,
    /// How long the head of the answer took; `None`: there was none.
    pub first_response: Option<Duration>,
    /// How it ended; for what is not gRPC, what its HTTP status stands for.
    pub status: StatusCode,
    /// The HTTP status; 0: there was no answer.
    pub http_status: u16,
    /// Why the mesh answered itself; `None`: an endpoint answered, or nobody.
    pub local_reply: Option<LocalReply>,
    /// Body bytes of the request, length prefixes included.
    pub request_bytes: u64,
    /// Body bytes of the response, length prefixes included.
    pub response_bytes: u64,
    /// gRPC messages of the request.
    pub request_messages: u64,
    /// gRPC messages of the response.
    pub response_messages: u64,
    /// Its tries, in order; none if the mesh answered without one.
    pub attempts: Vec<AttemptOutcome>,
    /// What became of its retries (`mesh_retries_total{result}`); `None`: there was none to be made.
    pub retry: Option<&'static str>,
    /// By which bound it was over (`mesh_timeouts_total{kind}`).
    pub timeout: Option<&'static str>,
    /// Whether a delay was put in.
    pub is_delayed: bool,
    /// What a fallback stood in for; `None`: none was used.
    pub replaced: Option<Replaced>,
    /// The span of the caller that the request named.
    pub parent: Option<TraceParent>,
    /// The call's own spans, if those whom it reached were told of them.
    pub span: Option<CallSpan>,
}

impl CallOutcome {
    /// Whether the caller got anything but what it wanted.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        if self.is_grpc {
            self.status != StatusCode::Ok
        } else {
            self.http_status == 0 || self.http_status >= 400
        }
    }

    /// The trace that has a span of it: of the mesh, or of its caller.
    #[must_use]
    pub fn recorded_trace(&self) -> Option<[u8; 16]> {
        let caller = self.parent.filter(|parent| parent.is_sampled);
        let own = self.span.map(|span| span.trace_id);
        own.or_else(|| caller.map(|parent| parent.trace_id))
    }
}

/// What a fallback stood in for.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The Service that could not answer.
    pub destination: Arc<DestinationLabels>,
    /// What the mesh would have answered; `None`: an endpoint's own answer was not good enough.
    pub reason: Option<LocalReply>,
}

/// One try of a call.
#[derive(Clone, Debug)]
pub struct AttemptOutcome {
    /// Which Service and workload.
    pub destination: Arc<DestinationLabels>,
    /// Which endpoint.
    pub endpoint: SocketAddr,
    /// When it began, from the call's start.
    pub started: Duration,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub status: StatusCode,
    /// Whether the endpoint itself said so.
    pub is_answered: bool,
    /// Whether `timeouts.backendRequest` was over.
    pub is_timed_out: bool,
}

/// Where calls that have ended wait for who counts them. One lock that nobody holds for long, no wake-up, and no memory but the
/// two vectors that change places.
#[derive(Debug)]
pub struct Outcomes {
    waiting: Mutex<Vec<CallOutcome>>,
    waiting_max: usize,
    lost: AtomicU64,
}

impl Outcomes {
    /// Holds at most so many.
    #[must_use]
    pub const fn new(waiting_max: usize) -> Self {
        Self {
            waiting: Mutex::new(Vec::new()),
            waiting_max,
            lost: AtomicU64::new(0),
        }
    }

    /// Hands one over; one that finds no room is counted as lost.
    pub fn push(&self, outcome: CallOutcome) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < self.waiting_max {
            waiting.push(outcome);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes all, oldest first; `emptied` is cleared and takes their place, so that its memory is used again.
    pub fn take(&self, emptied: &mut Vec<CallOutcome>) {
        emptied.clear();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, emptied);
    }

    /// How many found no room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl CallOutcome {
    /// A call of `shop/order` that one try at `shop/inventory` has answered.
    pub(crate) fn answered(path: PathAndQuery, status: StatusCode, started: Instant) -> Self {
        let destination = Arc::new(DestinationLabels {
            service: "inventory".into(),
            namespace: "shop".into(),
            workload: "".into(),
        });
        Self {
            source: Arc::new(SourceLabels {
                workload: "order".into(),
                namespace: "shop".into(),
            }),
            destination: Arc::clone(&destination),
            path: Some(path),
            is_grpc: true,
            started,
            duration: Duration::from_millis(2),
            first_response: Some(Duration::from_millis(1)),
            status,
            http_status: 200,
            local_reply: None,
            request_bytes: 10,
            response_bytes: 100,
            request_messages: 1,
            response_messages: 1,
            attempts: vec![AttemptOutcome::answered(destination, status)],
            retry: None,
            timeout: None,
            is_delayed: false,
            replaced: None,
            parent: None,
            span: None,
        }
    }
}

#[cfg(test)]
impl AttemptOutcome {
    /// A try that the endpoint has answered.
    pub(crate) fn answered(destination: Arc<DestinationLabels>, status: StatusCode) -> Self {
        Self {
            destination,
            endpoint: ([10, 0, 0, 1], 50_051).into(),
            started: Duration::ZERO,
            duration: Duration::from_millis(1),
            status,
            is_answered: true,
            is_timed_out: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LocalReply;

    #[test]
    fn every_reason_stands_at_its_number_and_has_its_own_name() {
        let names: std::collections::BTreeSet<&str> = LocalReply::ALL
            .iter()
            .map(|reason| reason.as_str())
            .collect();
        assert_eq!(names.len(), LocalReply::COUNT);
        for (number, reason) in LocalReply::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
