//! An answer on its way to the caller, to its end.

use super::attempt::{Answer, Upstream, code_at_end, code_of};
use super::body::{Download, DownloadCut};
use super::call::{Call, Halt, timeout_reply};
use super::clock;
use super::reply::Reply;
use super::wire::{Cut, ErrorCode, Sender};
use crate::grpc::Code;
use crate::observe::LocalReply;
use crate::resilience::{TimeoutKind, Verdict};
use crate::route::RuleName;
use http::Response;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// How an answer ended.
enum Ended {
    /// As it should.
    Whole,
    /// The caller has left.
    Cancelled,
    /// The endpoint cut it short.
    Cut(Cut),
    /// It took too long.
    Expired(TimeoutKind),
}

/// Passes an answer on. `whose`: the rule, for messages.
pub(super) async fn deliver(call: &mut Call, answer: Answer, whose: &RuleName) {
    let early = code_of(&answer);
    let Answer {
        head,
        mut download,
        mut upstream,
    } = answer;
    call.upload.commit();
    if download.has_data() {
        // It came while the head was held.
        upstream.picked.answered(clock::now());
    }
    let status = head.status;
    call.record.head(status.as_u16(), clock::now());
    let is_whole = download.is_empty();
    let Ok(mut to) = call.replier.send(Response::from_parts(head, ()), is_whole) else {
        upstream.cancel(call, Halt::Cancelled);
        return;
    };
    let ended = if is_whole {
        Ended::Whole
    } else {
        poll_fn(|cx| relay(call, &mut download, &mut upstream, &mut to, cx)).await
    };
    call.record.note(|outcome| {
        outcome.response_bytes = download.count().bytes();
        if outcome.is_grpc {
            outcome.response_messages = download.count().messages();
        }
    });
    match ended {
        Ended::Whole => {
            let at_end = if call.is_grpc {
                early.or_else(|| code_at_end(&download))
            } else {
                let is_error = status.is_client_error() || status.is_server_error();
                Some(if is_error {
                    Code::of_http(status.as_u16())
                } else {
                    Code::Ok
                })
            };
            let code = at_end.unwrap_or(Code::Unknown);
            call.record.status(code);
            upstream.ended(call, code, Verdict::Status(code));
        }
        Ended::Cancelled => upstream.cancel(call, Halt::Cancelled),
        Ended::Cut(cut) => cut_short(call, &mut to, upstream, cut),
        Ended::Expired(kind) => {
            upstream.cancel(call, Halt::Expired(kind));
            let reply = timeout_reply(kind, whose);
            call.record
                .note(|outcome| outcome.timeout = Some(kind.label()));
            finish(call, &mut to, &reply);
        }
    }
}

/// Moves both directions.
fn relay(
    call: &mut Call,
    download: &mut Download,
    upstream: &mut Upstream,
    to: &mut Sender,
    cx: &mut Context<'_>,
) -> Poll<Ended> {
    let had_data = download.has_data();
    let polled = download.poll(cx, to);
    if download.has_data() && !had_data {
        upstream.picked.answered(clock::now());
    }
    match polled {
        Poll::Ready(Ok(())) => return Poll::Ready(Ended::Whole),
        Poll::Ready(Err(DownloadCut::Caller(_))) => return Poll::Ready(Ended::Cancelled),
        Poll::Ready(Err(DownloadCut::Endpoint(cut))) => return Poll::Ready(Ended::Cut(cut)),
        Poll::Pending => {}
    }
    if call.move_upload(cx, &mut upstream.sender).is_err() || to.poll_cut(cx).is_ready() {
        return Poll::Ready(Ended::Cancelled);
    }
    call.poll_expired(cx, upstream.started, download.count())
        .map(Ended::Expired)
}

/// After its head an answer that is cut short is passed on as that: a reset with its code, a lost connection as trailers.
fn cut_short(call: &mut Call, to: &mut Sender, upstream: Upstream, cut: Cut) {
    let code = match cut {
        Cut::Reset(code) | Cut::Faulty(code) => Code::of_reset(code.0),
        Cut::Unsent | Cut::Unprocessed | Cut::Lost => Code::Unavailable,
    };
    upstream.ended(call, code, Verdict::Reset);
    call.record.status(code);
    match cut {
        Cut::Reset(code) => to.reset(code),
        Cut::Faulty(_) => to.reset(ErrorCode::INTERNAL_ERROR),
        Cut::Unsent | Cut::Unprocessed | Cut::Lost => {
            let message = "the connection to the endpoint was lost".to_owned();
            finish(call, to, &Reply::new(LocalReply::ConnectionLost, message));
        }
    }
}

/// Ends an answer that has begun in the mesh's own name.
fn finish(call: &mut Call, to: &mut Sender, reply: &Reply) {
    call.record.reply(reply);
    if !call.is_grpc {
        to.reset(ErrorCode::INTERNAL_ERROR);
    } else if to.finish(Some(reply.trailers())).is_err() {
        // The caller has left in the meantime.
        to.reset(ErrorCode::INTERNAL_ERROR);
    }
}
