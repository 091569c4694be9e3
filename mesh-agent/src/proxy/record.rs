//! What is noted of a call while it is under way; handed over when it is dropped, whatever ended it.

use super::reply::Reply;
use crate::grpc::Code;
use crate::observe::{
    AttemptOutcome, CallOutcome, CallSpan, DestinationLabels, OpenCall, Outcomes, ProxyFigures,
    SourceLabels,
};
use http::uri::PathAndQuery;
use mesh_common::meter::StatusCode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Notes on one call. It is cancelled until something else is known.
#[derive(Debug)]
pub(super) struct Record {
    outcome: Option<CallOutcome>,
    /// Its place among the gRPC calls under way.
    open: Option<OpenCall>,
    outcomes: Arc<Outcomes>,
    figures: Arc<ProxyFigures>,
}

impl Record {
    /// A call whose head has come.
    pub(super) fn new(
        labels: (Arc<SourceLabels>, Arc<DestinationLabels>),
        path: Option<PathAndQuery>,
        is_grpc: bool,
        started: Instant,
        outcomes: &Arc<Outcomes>,
        figures: &Arc<ProxyFigures>,
    ) -> Self {
        figures.call_begun();
        Self {
            outcome: Some(CallOutcome {
                source: labels.0,
                destination: labels.1,
                path,
                is_grpc,
                started,
                duration: Duration::ZERO,
                first_response: None,
                status: StatusCode::Cancelled,
                http_status: 0,
                local_reply: None,
                request_bytes: 0,
                response_bytes: 0,
                request_messages: 0,
                response_messages: 0,
                attempts: vec![],
                retry: None,
                timeout: None,
                is_delayed: false,
                replaced: None,
                parent: None,
                span: None,
            }),
            open: None,
            outcomes: Arc::clone(outcomes),
            figures: Arc::clone(figures),
        }
    }

    /// It counts as under way until it ends.
    pub(super) fn counts(&mut self, open: OpenCall) {
        self.open = Some(open);
    }

    /// Notes something.
    pub(super) fn note(&mut self, note: impl FnOnce(&mut CallOutcome)) {
        if let Some(outcome) = &mut self.outcome {
            note(outcome);
        }
    }

    /// A try begins.
    pub(super) fn attempt(
        &mut self,
        destination: &Arc<DestinationLabels>,
        endpoint: SocketAddr,
        now: Instant,
    ) {
        if let Some(open) = &self.open {
            open.goes_to(destination);
        }
        self.note(|outcome| {
            outcome.destination = Arc::clone(destination);
            outcome.attempts.push(AttemptOutcome {
                destination: Arc::clone(destination),
                endpoint,
                started: now.saturating_duration_since(outcome.started),
                duration: Duration::ZERO,
                status: StatusCode::Cancelled,
                is_answered: false,
                is_timed_out: false,
            });
        });
    }

    /// The latest try has ended.
    pub(super) fn attempt_ended(&mut self, code: Code, is_answered: bool, now: Instant) {
        self.note(|outcome| {
            let since = now.saturating_duration_since(outcome.started);
            if let Some(attempt) = outcome.attempts.last_mut() {
                attempt.duration = since.saturating_sub(attempt.started);
                attempt.status = code.into();
                attempt.is_answered = is_answered && !attempt.is_timed_out;
            }
        });
    }

    /// The latest try has taken too long.
    pub(super) fn attempt_timed_out(&mut self) {
        self.note(|outcome| {
            if let Some(attempt) = outcome.attempts.last_mut() {
                attempt.is_timed_out = true;
            }
        });
    }

    /// The call's spans, if whom it reaches is told of them, and the number of the latest try.
    pub(super) fn span(&self) -> Option<(CallSpan, usize)> {
        let outcome = self.outcome.as_ref()?;
        Some((outcome.span?, outcome.attempts.len().saturating_sub(1)))
    }

    /// The head of the answer is passed on.
    pub(super) fn head(&mut self, http_status: u16, now: Instant) {
        self.note(|outcome| {
            outcome.http_status = http_status;
            outcome.first_response = Some(now.saturating_duration_since(outcome.started));
        });
    }

    /// The call ends with this status.
    pub(super) fn status(&mut self, code: Code) {
        self.note(|outcome| outcome.status = code.into());
    }

    /// The mesh answers.
    pub(super) fn reply(&mut self, reply: &Reply) {
        self.note(|outcome| {
            outcome.local_reply = Some(reply.reason);
            outcome.status = reply.code.into();
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.figures.call_ended();
        if let Some(mut outcome) = self.outcome.take() {
            outcome.duration = super::clock::now().saturating_duration_since(outcome.started);
            // A try that was cut off with its call has lasted as long.
            if let Some(last) = outcome.attempts.last_mut()
                && last.duration.is_zero()
            {
                last.duration = outcome.duration.saturating_sub(last.started);
            }
            self.outcomes.push(outcome);
        }
    }
}
