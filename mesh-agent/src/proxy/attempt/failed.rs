//! Why a try failed, and what its caller gets if there is no other one.

use super::Answer;
use crate::grpc::{Code, PushBack};
use crate::observe::LocalReply;
use crate::proxy::reply::Reply;
use crate::proxy::wire::{Cut, ErrorCode};
use crate::resilience::Failure;

/// A failed try.
pub(in crate::proxy) struct Failed {
    /// Why.
    pub(in crate::proxy) failure: Failure,
    /// What the server says of retries.
    pub(in crate::proxy) push_back: Option<PushBack>,
    /// What the caller gets if there is no other try.
    pub(in crate::proxy) instead: Instead,
}

/// What the caller gets of a failed try.
pub(in crate::proxy) enum Instead {
    /// An answer of the mesh.
    Reply(Reply),
    /// The endpoint's own.
    Answer(Box<Answer>),
}

/// A try that was cut short before the head of an answer.
pub(super) fn failed_by(cut: Cut) -> Failed {
    let unavailable = Failure::Cut(Code::Unavailable);
    let (failure, reason, message) = match cut {
        Cut::Unsent => (Failure::NotSent, LocalReply::ConnectionLost, "never sent"),
        Cut::Unprocessed => (
            Failure::Refused,
            LocalReply::ConnectionLost,
            "the endpoint is going away and did not process the request",
        ),
        Cut::Reset(ErrorCode::REFUSED_STREAM) => (
            Failure::Refused,
            LocalReply::UpstreamReset,
            "the endpoint refused the stream",
        ),
        Cut::Lost => (
            unavailable,
            LocalReply::ConnectionLost,
            "the connection to the endpoint was lost",
        ),
        Cut::Reset(code) => (
            Failure::Cut(Code::of_reset(code.0)),
            LocalReply::UpstreamReset,
            "the endpoint reset the stream",
        ),
        Cut::Faulty(_) => (
            Failure::Cut(Code::Internal),
            LocalReply::UpstreamReset,
            "the endpoint broke HTTP/2",
        ),
    };
    let code = if let Failure::Cut(code) = failure {
        code
    } else {
        Code::Unavailable
    };
    let reply = Reply::new(reason, message.to_owned()).with_code(code);
    Failed {
        failure,
        push_back: None,
        instead: Instead::Reply(reply),
    }
}
