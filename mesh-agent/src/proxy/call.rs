//! One request while it is under way: its caller's side, its bounds in time, what is noted of it.

use super::body::{MessageCount, Upload, UploadCut};
use super::clock::Clock;
use super::record::Record;
use super::reply::Reply;
use super::wire::{Cut, Incoming, Replier, Sender};
use crate::grpc::parse_timeout;
use crate::model::Timeouts;
use crate::observe::LocalReply;
use crate::resilience::{Deadline, Expiry, Permit, TimeoutKind};
use crate::route::RuleName;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{Method, request};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How much time a call has.
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Why a call goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// Its caller has left.
    Cancelled,
    /// It, or its try, has taken too long.
    Expired(TimeoutKind),
}

/// A request while it is under way.
pub(super) struct Call {
    /// Where the answer goes.
    pub(super) replier: Replier,
    /// The request's body.
    pub(super) upload: Upload,
    /// Its bounds in time.
    pub(super) deadline: Deadline,
    /// Its timer.
    pub(super) clock: Clock,
    /// Whether it is gRPC.
    pub(super) is_grpc: bool,
    /// Whether it was made with HEAD, which has no body in its answer.
    pub(super) is_head: bool,
    /// When its head came.
    pub(super) started: Instant,
    /// What is noted of it.
    pub(super) record: Record,
    /// Its place among the requests under way to its destination.
    pub(super) permit: Option<Permit>,
    moved: Moved,
}

/// When something has last moved.
#[derive(Clone, Copy, Debug)]
struct Moved {
    at: Instant,
    bytes: u64,
}

impl Call {
    /// A call that has just begun.
    pub(super) fn new(
        incoming: Incoming,
        started: Instant,
        is_grpc: bool,
        record: Record,
    ) -> (request::Parts, Self) {
        let Incoming {
            head,
            body,
            replier,
        } = incoming;
        let call = Self {
            replier,
            upload: Upload::new(body),
            deadline: Deadline::new(started, &Timeouts::default(), None),
            clock: Clock::default(),
            is_grpc,
            is_head: head.method == Method::HEAD,
            started,
            record,
            permit: None,
            moved: Moved {
                at: started,
                bytes: 0,
            },
        };
        (head, call)
    }

    /// Puts bounds in force. A malformed `grpc-timeout` is none.
    pub(super) fn bound(&mut self, head: &request::Parts, timeouts: &Timeouts) {
        let own = head.headers.get(GRPC_TIMEOUT).filter(|_| self.is_grpc);
        let own = own.and_then(|value| parse_timeout(value.as_bytes()));
        self.deadline = Deadline::new(self.started, timeouts, own);
    }

    /// Ready when the call is to go no further; only before the head of the answer is sent. `attempt`: when the try began.
    pub(super) fn poll_halt(
        &mut self,
        cx: &mut Context<'_>,
        attempt: Option<Instant>,
    ) -> Poll<Halt> {
        if self.replier.poll_cut(cx).is_ready() {
            return Poll::Ready(Halt::Cancelled);
        }
        let own = match attempt {
            Some(started) => self.deadline.attempt(started),
            None => self.deadline.call(),
        };
        let idle = if self.deadline.is_stream() {
            self.idle(self.upload.count().bytes())
        } else {
            None
        };
        let expiry = Expiry::earlier(own, idle);
        self.clock.poll(cx, expiry).map(Halt::Expired)
    }

    /// Waits for something, unless the call is to go no further. `attempt`: when the try began.
    pub(super) async fn unless_halted<T>(
        &mut self,
        attempt: Option<Instant>,
        awaited: impl Future<Output = T>,
    ) -> Result<T, Halt> {
        let mut awaited = pin!(awaited);
        poll_fn(|cx| match awaited.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll_halt(cx, attempt).map(Err),
        })
        .await
    }

    /// Lets time pass.
    pub(super) async fn pause(&mut self, length: Duration) -> Result<(), Halt> {
        if length.is_zero() {
            return Ok(());
        }
        self.unless_halted(None, tokio::time::sleep(length)).await
    }

    /// Moves the request's body on. An error: the caller has left.
    pub(super) fn move_upload(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Sender,
    ) -> Result<(), Halt> {
        if self.upload.is_sent() {
            return Ok(());
        }
        match self.upload.poll(cx, to) {
            Poll::Ready(Err(UploadCut::Caller(_))) => return Err(Halt::Cancelled),
            // The endpoint may have answered without reading on; what it says next decides.
            Poll::Ready(Err(UploadCut::Endpoint)) => self.upload.abandon(),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        Ok(())
    }

    /// Ready when an answer that has begun takes too long.
    pub(super) fn poll_expired(
        &mut self,
        cx: &mut Context<'_>,
        attempt: Instant,
        response: &MessageCount,
    ) -> Poll<TimeoutKind> {
        let request = self.upload.count();
        if self.is_grpc && (request.messages() > 1 || response.messages() > 1) {
            self.deadline.becomes_stream();
        }
        let bytes = request.bytes() + response.bytes();
        let own = self.deadline.attempt(attempt);
        let expiry = Expiry::earlier(own, self.idle(bytes));
        self.clock.poll(cx, expiry)
    }

    /// When the call is over if nothing moves from now on. `bytes`: of both directions so far.
    fn idle(&mut self, bytes: u64) -> Option<Expiry> {
        // Without a bound for idle streams nobody asks for the time.
        self.deadline.idle(self.moved.at)?;
        if bytes != self.moved.bytes {
            self.moved = Moved {
                at: super::clock::now(),
                bytes,
            };
        }
        self.deadline.idle(self.moved.at)
    }

    /// Answers in the mesh's own name, if the caller is still there.
    pub(super) fn reply(&mut self, reply: &Reply) {
        self.record.reply(reply);
        // Who has left needs no answer.
        self.send_reply(reply).ok();
    }

    fn send_reply(&mut self, reply: &Reply) -> Result<(), Cut> {
        let now = super::clock::now();
        if !self.is_grpc {
            let (head, body) = reply.http();
            self.record.head(head.status().as_u16(), now);
            let mut sender = self.replier.send(head, self.is_head)?;
            return if self.is_head {
                Ok(())
            } else {
                sender.send_last(&body)
            };
        }
        self.record.head(200, now);
        let Some(body) = &reply.body else {
            return self.replier.send(reply.grpc_head(), true).map(|_| ());
        };
        let mut sender = self.replier.send(reply.message_head(), false)?;
        sender.send_more(body)?;
        sender.finish(Some(reply.trailers()))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let count = self.upload.count();
        self.record.note(|outcome| {
            outcome.request_bytes = count.bytes();
            outcome.request_messages = if self.is_grpc { count.messages() } else { 0 };
        });
    }
}

/// The answer to a call that took too long.
pub(super) fn timeout_reply(kind: TimeoutKind, whose: &RuleName) -> Reply {
    let message = match kind {
        TimeoutKind::Caller => "the caller's deadline is over".to_owned(),
        TimeoutKind::Request => format!("timeouts.request of {whose} is over"),
        TimeoutKind::BackendRequest => format!("timeouts.backendRequest of {whose} is over"),
        TimeoutKind::StreamIdle => format!("timeouts.streamIdle of {whose} is over"),
    };
    let reason = match kind {
        TimeoutKind::StreamIdle => LocalReply::StreamIdle,
        TimeoutKind::Caller | TimeoutKind::Request | TimeoutKind::BackendRequest => {
            LocalReply::Timeout
        }
    };
    Reply::new(reason, message)
}

/// `application/grpc`, alone or with a suffix (gRPC `PROTOCOL-HTTP2.md`, "Content-Type").
pub(super) fn is_grpc(head: &request::Parts) -> bool {
    let Some(value) = head.headers.get(CONTENT_TYPE) else {
        return false;
    };
    let rest = value.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}
