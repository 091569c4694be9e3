//! An endpoint that has been picked for a try, and what the try tells of it.

use super::Balancer;
use super::endpoint::Endpoint;
use crate::grpc::Code;
use crate::model::CodeSet;
use crate::resilience::Verdict;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// One try at one endpoint. It counts as under way there until it is dropped or ended; to drop it says nothing of the endpoint.
///
/// ```text
/// pick ──▶ waiting ──answered──▶ streaming ──▶ ended or dropped
///             └──becomes_stream──▲
/// ```
/// Only a waiting one is a request whose answer takes time; what it took is noted once. A unary call ends as soon as it is
/// answered; whatever is open after that is a stream, which may be silent for hours without being slow.
#[derive(Debug)]
#[must_use = "a pick that is dropped at once is not counted as load"]
pub struct Picked {
    balancer: Arc<Balancer>,
    endpoint: Arc<Endpoint>,
    start: Instant,
    phase: Phase,
    is_probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Streaming,
}

impl Picked {
    pub(super) fn new(
        balancer: Arc<Balancer>,
        endpoint: Arc<Endpoint>,
        start: Instant,
        is_probe: bool,
    ) -> Self {
        endpoint.started(balancer.since_epoch_ns(start));
        Self {
            balancer,
            endpoint,
            start,
            phase: Phase::Waiting,
            is_probe,
        }
    }

    /// Where to go.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address()
    }

    /// Whether this try sees if an ejected endpoint is well again.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The first DATA frame of the response has come: notes how long that took. A probe is over with it.
    pub fn answered(&mut self, now: Instant) {
        if self.phase == Phase::Waiting {
            self.note_latency(now, true);
            self.streams_on();
        }
        self.settle_probe(Verdict::Status(Code::Ok), now);
    }

    /// A second message of the request has started: when the answer comes is up to the caller, too.
    pub fn becomes_stream(&mut self) {
        if self.phase == Phase::Waiting {
            self.streams_on();
        }
    }

    /// The try is over.
    pub fn ended(mut self, now: Instant, verdict: Verdict) {
        let membership = self.balancer.current();
        let detector = membership.detector.as_deref();
        if self.phase == Phase::Waiting {
            let is_failure = match detector {
                Some(detector) => detector.is_failure(verdict),
                None => is_outlier(verdict),
            };
            self.note_latency(now, !is_failure && verdict != Verdict::Nothing);
        }
        if self.is_probe {
            self.settle_probe(verdict, now);
        } else if let Some(detector) = detector {
            let due = detector.note(self.endpoint.health(), verdict, now);
            self.balancer.settle(&self.endpoint, due, now);
        }
    }

    fn streams_on(&mut self) {
        self.phase = Phase::Streaming;
        self.endpoint.streams_on();
    }

    fn note_latency(&self, now: Instant, is_answer: bool) {
        let took_s = now.saturating_duration_since(self.start).as_secs_f64();
        let now_ns = self.balancer.since_epoch_ns(now);
        let mut latency = self.endpoint.latency();
        if is_answer {
            latency.answered(now_ns, took_s);
        } else {
            latency.gave_up(now_ns, took_s);
        }
    }

    fn settle_probe(&mut self, verdict: Verdict, now: Instant) {
        if !std::mem::take(&mut self.is_probe) {
            return;
        }
        let membership = self.balancer.current();
        let Some(detector) = &membership.detector else {
            return;
        };
        if detector.ends_probe(self.endpoint.health(), verdict, now) {
            self.balancer.readmitted();
        }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.settle_probe(Verdict::Nothing, self.start);
        match self.phase {
            Phase::Waiting => self.endpoint.request_ended(),
            Phase::Streaming => self.endpoint.stream_ended(),
        }
    }
}

/// Whether a verdict would count against the endpoint under a policy that leaves `codes` out.
const fn is_outlier(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Status(code) => CodeSet::OUTLIERS.contains(code.number()),
        Verdict::ConnectFailed | Verdict::Reset => true,
        Verdict::Nothing => false,
    }
}
