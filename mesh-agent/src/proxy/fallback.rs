//! What answers when a service cannot.

use super::reply::Reply;
use crate::grpc::Code;
use crate::model::{Fallback, FallbackAnswer};
use crate::observe::LocalReply;
use crate::resilience::Stop;
use crate::route::{Backend, Rule};
use std::sync::Arc;

/// What a service fails at, as `fallback.on` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// None of these.
    Nothing,
    /// No endpoint is ready.
    NoEndpoint,
    /// No endpoint took a connection.
    Connect,
    /// The circuit breaker is open.
    CircuitOpen,
    /// The last retry failed.
    Retries,
}

impl Failing {
    /// What an answer of the mesh stands for.
    pub(super) const fn of(reply: &Reply) -> Self {
        match reply.reason {
            LocalReply::NoEndpoint => Self::NoEndpoint,
            LocalReply::ConnectFailure => Self::Connect,
            LocalReply::CircuitOpen => Self::CircuitOpen,
            LocalReply::Connect
            | LocalReply::NoRoute
            | LocalReply::NoBackend
            | LocalReply::RateLimited
            | LocalReply::Fault
            | LocalReply::Timeout
            | LocalReply::StreamIdle
            | LocalReply::UpstreamReset
            | LocalReply::ConnectionLost
            | LocalReply::Fallback
            | LocalReply::Malformed => Self::Nothing,
        }
    }

    /// The same, or that there were retries to no avail.
    pub(super) const fn or_exhausted(self, stop: Stop) -> Self {
        match (self, stop) {
            (Self::Nothing, Stop::Limit | Stop::Budget | Stop::Deadline) => Self::Retries,
            (failing, _) => failing,
        }
    }
}

/// The fallback of a rule that is meant for this.
pub(super) fn of(rule: &Rule, failing: Failing) -> Option<&Fallback> {
    let fallback = rule.traffic.fallback.as_ref()?;
    let is_meant = match failing {
        Failing::Nothing => false,
        Failing::NoEndpoint => fallback.on.no_endpoint,
        Failing::Connect => fallback.on.connect_failure,
        Failing::CircuitOpen => fallback.on.circuit_open,
        Failing::Retries => fallback.on.retries_exhausted,
    };
    is_meant.then_some(fallback)
}

/// Where the fallback sends the request; an error: what answers instead.
pub(super) fn backend<'r>(rule: &'r Rule, fallback: &Fallback) -> Result<&'r Arc<Backend>, Reply> {
    match (&fallback.answer, &rule.fallback) {
        (FallbackAnswer::Status(code, message), _) => {
            let reply = Reply::new(LocalReply::Fallback, message.to_string());
            Err(reply.with_code(Code::of(u32::from(*code))))
        }
        (FallbackAnswer::Message(message), _) => {
            let why = format!("fallback of {}", rule.name);
            Err(Reply::new(LocalReply::Fallback, why).with_message(message))
        }
        (FallbackAnswer::Backend(..), Some(Ok(backend))) => Ok(backend),
        (FallbackAnswer::Backend(..), unresolved) => {
            let why = match unresolved {
                Some(Err(why)) => why,
                _ => "it does not resolve",
            };
            let why = format!("fallback of {}: {why}", rule.name);
            Err(Reply::new(LocalReply::NoBackend, why))
        }
    }
}
