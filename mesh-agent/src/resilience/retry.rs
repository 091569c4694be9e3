//! Whether a call that failed is tried again, and when (gRFC A6; GEP-1731).
//!
//! ```text
//!            never sent ──────────────── at once, then with growing pauses, until the deadline ──┐
//!            endpoint refused ────────── at once, while there is another endpoint ───────────────┤
//!  try ────▶ refused as a stream ─────── at once, one time ──────────────────────────────────────┼──▶ try
//!            anything the policy names ─ after its delay or the server's, if attempts, replay    │
//!                                        buffer, deadline and budget allow ──────────────────────┘
//!            else ──▶ stop
//! ```
//! The first three are no attempts of the policy and cost no budget: no server has seen the request.

use super::{Budget, Deadline};
use crate::grpc::{Code, PushBack};
use crate::model::{Draws, Retry};
use std::time::{Duration, Instant};

/// Retries of a policy, whatever it says (DESIGN.md section 4; gRFC A6 stops at 5 attempts, the first one included).
const ATTEMPTS_MAX: u32 = 4;

/// Other endpoints tried at once after one that refuses connections.
const CONNECTS_MAX: u32 = 16;

/// Tries of a call without a deadline that never left the agent; with their pauses, some ten seconds.
const UNSENT_MAX: u32 = 100;

/// The longest pause between them; the first is none, the second a millisecond.
const UNSENT_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Why a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It never left: its connection ended, or stopped taking streams, before the request's head was sent.
    NotSent,
    /// The endpoint took no connection.
    Connect {
        /// Whether there is an endpoint that this call has not tried.
        is_other_left: bool,
    },
    /// Upstream says that it did not process it: REFUSED_STREAM, or an id above the last of a GOAWAY (RFC 9113 section 8.7).
    Refused,
    /// `timeouts.backendRequest` is over.
    TimedOut,
    /// The status of gRPC, from headers or trailers.
    Status(Code),
    /// The HTTP status of a response that is not gRPC, and what it stands for if the call is gRPC.
    Http(u16, Option<Code>),
    /// Cut short before the head of an answer, by a reset or with its connection; and the status that stands for it.
    Cut(Code),
}

/// A failed try, and what trying again depends on.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Why it failed.
    pub failure: Failure,
    /// The server's word, if it said one.
    pub push_back: Option<PushBack>,
    /// Whether the caller has got something of the response.
    pub is_committed: bool,
    /// Whether all that was read of the request can be sent again.
    pub is_replayable: bool,
    /// When it failed.
    pub now: Instant,
    /// For the delay.
    pub random: u64,
}

/// What comes after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTry {
    /// A retry of the policy, after this time.
    Retry(Duration),
    /// The same try once more, after this time: it never reached an application.
    Resend(Duration),
    /// None: the caller gets the failure.
    Stop(Stop),
}

/// Why there is no other try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody asked for one.
    Final,
    /// The caller has got something of the response.
    Committed,
    /// The attempts are used up.
    Limit,
    /// What was sent of the request is no longer there.
    Buffer,
    /// The server forbids it.
    PushBack,
    /// It would come too late.
    Deadline,
    /// The destination's budget is used up.
    Budget,
}

impl Stop {
    /// The label value of `mesh_retries_total{result}`; `None` where there was nothing to be tried again.
    #[must_use]
    pub const fn label(self) -> Option<&'static str> {
        match self {
            Self::Final => None,
            Self::Committed => Some("committed"),
            // Time is a limit of the call as attempts are.
            Self::Limit | Self::Deadline => Some("limit"),
            Self::Buffer => Some("buffer"),
            Self::PushBack => Some("pushback"),
            Self::Budget => Some("budget"),
        }
    }
}

/// The tries of one call.
#[derive(Clone, Debug, Default)]
pub struct Tries {
    /// Retries of the policy.
    retries: u32,
    /// Those among them since the server last named a delay itself.
    doublings: u32,
    unsent: u32,
    connects: u32,
    was_refused: bool,
}

impl Tries {
    /// Decides what follows a failed try, and counts it.
    pub fn next_try(
        &mut self,
        policy: Option<&Retry>,
        report: &Report,
        deadline: &Deadline,
        budget: &Budget,
    ) -> NextTry {
        if let Some(pause) = self.resend(report, deadline) {
            return NextTry::Resend(pause);
        }
        match self.retry(policy, report, deadline, budget) {
            Ok(delay) => NextTry::Retry(delay),
            Err(stop) => NextTry::Stop(stop),
        }
    }

    /// What `grpc-previous-rpc-attempts` says from the second try on; resent ones do not count (gRFC A6).
    #[must_use]
    pub const fn previous(&self) -> u32 {
        self.retries
    }

    /// The label value of `mesh_retries_total{result}` for the try that has ended; `None` if it was no retry.
    #[must_use]
    pub const fn result_label(&self, is_success: bool) -> Option<&'static str> {
        match (self.retries, is_success) {
            (0, _) => None,
            (_, true) => Some("success"),
            (_, false) => Some("failure"),
        }
    }

    /// The pause before the request is sent once more without being a retry; `None` if it is not.
    fn resend(&mut self, report: &Report, deadline: &Deadline) -> Option<Duration> {
        if report.is_committed {
            return None;
        }
        let pause = match report.failure {
            Failure::NotSent => self.unsent_pause(deadline)?,
            Failure::Connect {
                is_other_left: true,
            } if self.connects < CONNECTS_MAX => {
                self.connects += 1;
                Duration::ZERO
            }
            Failure::Refused if !self.was_refused && report.is_replayable => {
                self.was_refused = true;
                Duration::ZERO
            }
            Failure::Connect { .. }
            | Failure::Refused
            | Failure::TimedOut
            | Failure::Status(_)
            | Failure::Http(..)
            | Failure::Cut(_) => return None,
        };
        deadline
            .leaves_time_after(report.now, pause)
            .then_some(pause)
    }

    /// Connections that keep ending before they are used must not make the agent spin.
    fn unsent_pause(&mut self, deadline: &Deadline) -> Option<Duration> {
        if deadline.call().is_none() && self.unsent >= UNSENT_MAX {
            return None;
        }
        let pause = match self.unsent {
            0 => Duration::ZERO,
            before => doubled(Duration::from_millis(1), before - 1).min(UNSENT_PAUSE_MAX),
        };
        self.unsent = self.unsent.saturating_add(1);
        Some(pause)
    }

    fn retry(
        &mut self,
        policy: Option<&Retry>,
        report: &Report,
        deadline: &Deadline,
        budget: &Budget,
    ) -> Result<Duration, Stop> {
        let policy = policy
            .filter(|policy| policy.attempts > 0 && names(policy, report.failure))
            .ok_or(Stop::Final)?;
        if report.is_committed {
            return Err(Stop::Committed);
        }
        if self.retries >= policy.attempts.min(ATTEMPTS_MAX) {
            return Err(Stop::Limit);
        }
        if !report.is_replayable {
            return Err(Stop::Buffer);
        }
        let delay = match report.push_back {
            Some(PushBack::Stop) => return Err(Stop::PushBack),
            Some(PushBack::After(delay)) => delay,
            None => backoff(policy, self.doublings, report.random),
        };
        if !deadline.leaves_time_after(report.now, delay) {
            return Err(Stop::Deadline);
        }
        // Last, so that only retries that take place are paid for.
        if !budget.try_retry(report.now) {
            return Err(Stop::Budget);
        }
        self.retries += 1;
        // After a delay of the server's own, the next one starts small again (gRFC A6, as grpc-go has it).
        self.doublings = match report.push_back {
            Some(_) => 0,
            None => self.doublings + 1,
        };
        Ok(delay)
    }
}

/// Whether the policy asks for another try after this failure.
fn names(policy: &Retry, failure: Failure) -> bool {
    let has = |code: Code| policy.codes.contains(code.number());
    let has_http = |status: u16| policy.http_codes.contains(&status);
    match failure {
        Failure::NotSent | Failure::Connect { .. } | Failure::TimedOut => true,
        Failure::Refused => policy.retries_cuts || has(Code::Unavailable) || has_http(503),
        Failure::Cut(code) => policy.retries_cuts || has(code),
        Failure::Status(code) => has(code),
        // What it stands for, in either language.
        Failure::Http(status, code) => has_http(status) || code.is_some_and(has),
    }
}

/// The delay before a retry: in [b, 1.2 b], where b doubles from the base on; never above the policy's longest.
fn backoff(policy: &Retry, doublings: u32, random: u64) -> Duration {
    let delay = doubled(policy.backoff_base, doublings).min(policy.backoff_max);
    let jitter = 1.0 + 0.2 * Draws::new(random).share();
    let jittered = Duration::try_from_secs_f64(delay.as_secs_f64() * jitter);
    jittered.unwrap_or(delay).min(policy.backoff_max)
}

fn doubled(base: Duration, times: u32) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(times))
}
