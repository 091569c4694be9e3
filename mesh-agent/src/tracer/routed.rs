//! Calls that the proxy has ended, on their way to metrics, spans, readers of `tap` and the access log; all on the thread
//! `observe`, so that the proxy does no more than hand them over.

use super::access_log::AccessLog;
use super::{Spans, Taps, TraceChoice};
use crate::observe::{
    CallOutcome, Calls, ObservedAttempt, ObservedCall, ObservedMethod, ObservedRpc, OpenCalls,
    Outcomes, RoutedFigures, UpstreamSeries,
};
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{Side, reason};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often calls are taken over where there are few.
const CALM: Duration = Duration::from_secs(1);

/// How often where there are many, or where somebody watches: so that they do not pile up, and queues of taps last.
const BUSY: Duration = Duration::from_millis(100);

/// Many are more than this at a time.
const MANY: usize = 1_024;

/// Room for calls that is kept; what a burst has taken beyond it is given back.
const KEPT_MAX: usize = 4 * MANY;

/// Where calls come from.
pub struct CallSource {
    /// Those that have ended.
    pub outcomes: Arc<Outcomes>,
    /// Those that are under way.
    pub open: Arc<OpenCalls>,
    /// Reads what is known of connections to endpoints.
    pub upstream: Box<dyn FnMut() -> Vec<UpstreamSeries> + Send>,
}

/// Where calls go, metrics aside.
pub struct CallSinks {
    /// Which calls give spans.
    pub choice: TraceChoice,
    /// Everybody who taps.
    pub taps: Taps,
    /// The queue of spans; `None`: there are none.
    pub spans: Option<Spans>,
    /// The access log; `None`: there is none.
    pub access_log: Option<AccessLog>,
}

/// The present on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The clock of calls.
    pub now: Instant,
    /// The calendar.
    pub calendar: SystemTime,
}

impl Moment {
    /// What the calendar said at a moment that has passed.
    pub(super) fn calendar(self, at: Instant) -> SystemTime {
        self.calendar - self.now.saturating_duration_since(at)
    }
}

/// Takes calls over and hands them on.
pub struct RoutedCalls {
    source: CallSource,
    sinks: CallSinks,
    calls: Calls,
    taken: Vec<CallOutcome>,
}

impl RoutedCalls {
    /// Begins with empty sums.
    #[must_use]
    pub fn new(source: CallSource, sinks: CallSinks) -> Self {
        Self {
            source,
            sinks,
            calls: Calls::default(),
            taken: vec![],
        }
    }

    /// Takes over what has ended. Says after how long to come again.
    pub fn drain(&mut self, moment: Moment) -> Duration {
        let is_tapped = self.sinks.taps.prune();
        self.source.outcomes.take(&mut self.taken);
        let mut observed = vec![];
        for outcome in &self.taken {
            let ended = moment.calendar(outcome.started + outcome.duration);
            let method = self.calls.add(outcome, ended);
            if let Some(log) = &mut self.sinks.access_log {
                log.add(outcome, moment);
            }
            let reasons = self.sinks.reasons(outcome, is_tapped);
            // What is not gRPC has no place in spans of RPCs, nor has it a method.
            if reasons != 0 && outcome.is_grpc {
                observed.push(Arc::new(describe(outcome, &method, reasons, moment)));
            }
        }
        self.sinks.taps.offer(&observed);
        if let Some(spans) = &self.sinks.spans {
            spans.offer(&observed);
        }
        if let Some(log) = &mut self.sinks.access_log {
            log.write(moment.now);
        }
        let count = self.taken.len();
        if self.taken.capacity() > KEPT_MAX {
            self.taken = vec![];
        }
        self.taken.clear();
        if is_tapped || count > MANY {
            BUSY
        } else {
            CALM
        }
    }

    /// Everything known of the routed path, as of the last time that calls were taken over.
    #[must_use]
    pub fn figures(&mut self) -> RoutedFigures {
        let upstream = (self.source.upstream)();
        RoutedFigures {
            lost: self.source.outcomes.lost(),
            ..self.calls.figures(&self.source.open.under_way(), &upstream)
        }
    }
}

impl CallSinks {
    /// Why a call is looked at; zero: it is not.
    fn reasons(&self, outcome: &CallOutcome, is_tapped: bool) -> u32 {
        let choice = &self.choice;
        let is_slow = !choice.slow.is_zero() && outcome.duration >= choice.slow;
        let is_failed = choice.failed && outcome.status != StatusCode::Ok;
        let also = [
            (is_slow, reason::SLOW),
            (is_failed, reason::FAILED),
            (is_tapped, reason::TAP),
        ];
        also.into_iter().filter(|(is_so, _)| *is_so).fold(
            outcome.span.map_or(0, |span| span.reasons),
            |all, (_, bit)| all | bit,
        )
    }
}

fn describe(outcome: &CallOutcome, label: &Arc<str>, reasons: u32, moment: Moment) -> ObservedRpc {
    let attempts = outcome.attempts.iter().map(|attempt| ObservedAttempt {
        destination: (*attempt.destination).clone(),
        endpoint: attempt.endpoint,
        started: attempt.started,
        duration: attempt.duration,
        status: attempt.status,
    });
    ObservedRpc {
        source: (*outcome.source).clone(),
        destination: (*outcome.destination).clone(),
        method: ObservedMethod::named(outcome.path.as_ref().map(|path| path.path()), label),
        status: outcome.status,
        side: Side::Client,
        started: moment.calendar(outcome.started),
        duration: outcome.duration,
        first_response: outcome.first_response,
        request_bytes: outcome.request_bytes,
        response_bytes: outcome.response_bytes,
        parent: outcome.parent,
        reasons,
        routed: Some(Box::new(ObservedCall {
            span: outcome.span,
            attempts: attempts.collect(),
            local_reply: outcome.local_reply,
        })),
    }
}
