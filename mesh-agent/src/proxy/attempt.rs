//! One try of a request at one endpoint, until it is known whether the caller gets its answer.

mod failed;
mod status;

pub(super) use failed::{Failed, Instead};
pub(super) use status::{code_at_end, code_of};

use super::body::Download;
use super::call::{Call, GRPC_TIMEOUT, Halt};
use super::clock;
use super::destination::Destination;
use super::reply::Reply;
use super::upstream::{Lease, NoLease, Pool, PoolKey};
use super::wire::{self, Awaiting, Cut, ErrorCode, Receiver, Sender, Unsent};
use crate::balance::{Picked, Wish};
use crate::grpc::{Code, PushBack};
use crate::observe::LocalReply;
use crate::resilience::{Failure, TimeoutKind, Verdict};
use failed::failed_by;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri, response};
use status::failure_of;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long the head of a response may be held back while a retry is possible.
const HOLD: Duration = Duration::from_millis(50);

const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

const PUSH_BACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The head of a request, as every try sends it.
#[derive(Debug)]
pub(super) struct Head {
    /// `:method`.
    pub(super) method: Method,
    /// `:scheme`, `:authority`, `:path`.
    pub(super) uri: Uri,
    /// Everything else.
    pub(super) headers: HeaderMap,
}

/// What a try needs to know.
pub(super) struct Plan<'p> {
    /// Where connections come from.
    pub(super) pool: &'p Pool,
    /// For whom they are; its endpoint is still to be chosen.
    pub(super) key: PoolKey,
    /// Where the request goes.
    pub(super) destination: &'p Arc<Destination>,
    /// What is sent.
    pub(super) head: &'p Head,
    /// How the endpoint is chosen.
    pub(super) wish: Wish<'p>,
    /// Tries before this one that count (gRFC A6).
    pub(super) previous: u32,
    /// Whether there may be a retry after this one.
    pub(super) has_retry_left: bool,
}

/// How a try ended.
pub(super) enum Tried {
    /// The caller gets this answer.
    Answered(Box<Answer>),
    /// It failed; there may be another one.
    Failed(Box<Failed>),
    /// The mesh answers, and there is no other one.
    Refused(Reply),
    /// The call goes no further.
    Halted(Halt),
}

/// An answer whose head has come and nothing of which was passed on.
pub(super) struct Answer {
    /// Its head.
    pub(super) head: response::Parts,
    /// The rest.
    pub(super) download: Download,
    /// The endpoint's side.
    pub(super) upstream: Upstream,
}

/// The endpoint's side of a try.
pub(super) struct Upstream {
    /// The request's way.
    pub(super) sender: Sender,
    /// The endpoint.
    pub(super) picked: Picked,
    /// When the try began.
    pub(super) started: Instant,
    /// The stream's place. Last: it is given back when the stream is over.
    lease: Lease,
}

impl Upstream {
    /// Ends the try: notes how, for the endpoint's sake and the record's.
    pub(super) fn ended(self, call: &mut Call, code: Code, verdict: Verdict) {
        let now = clock::now();
        let is_answered = matches!(verdict, Verdict::Status(_));
        call.record.attempt_ended(code, is_answered, now);
        self.picked.ended(now, verdict);
        drop(self.sender);
        drop(self.lease);
    }

    /// Ends the try because nobody wants its answer any more.
    pub(super) fn cancel(mut self, call: &mut Call, halt: Halt) {
        self.sender.reset(ErrorCode::CANCEL);
        let (code, verdict) = judge(call, halt);
        self.ended(call, code, verdict);
    }
}

/// What a halt says of the try that it ends.
fn judge(call: &mut Call, halt: Halt) -> (Code, Verdict) {
    let kind = match halt {
        Halt::Cancelled => return (Code::Cancelled, Verdict::Nothing),
        Halt::Expired(kind) => kind,
    };
    if kind == TimeoutKind::BackendRequest {
        call.record.attempt_timed_out();
    }
    (Code::DeadlineExceeded, verdict_of_timeout(kind))
}

/// The caller's own deadline says nothing of the endpoint.
const fn verdict_of_timeout(kind: TimeoutKind) -> Verdict {
    match kind {
        TimeoutKind::BackendRequest => Verdict::Status(Code::DeadlineExceeded),
        TimeoutKind::Caller | TimeoutKind::Request | TimeoutKind::StreamIdle => Verdict::Nothing,
    }
}

/// Tries the request once. `tried` gets the endpoint.
pub(super) async fn run(
    call: &mut Call,
    plan: Plan<'_>,
    tried: &mut Vec<std::net::SocketAddr>,
) -> Tried {
    let started = plan.wish.now;
    let Some(picked) = plan.destination.balancer.pick(&plan.wish) else {
        let nobody = plan.destination.labels(None);
        call.record.note(|outcome| outcome.destination = nobody);
        return Tried::Refused(Reply::new(LocalReply::NoEndpoint, no_endpoint(&plan)));
    };
    let endpoint = picked.address();
    tried.push(endpoint);
    let labels = plan.destination.labels(Some(endpoint));
    call.record.attempt(&labels, endpoint, started);
    let key = PoolKey {
        endpoint,
        ..plan.key
    };
    let leasing = plan.pool.acquire(key, &plan.destination.client);
    let leased = call.unless_halted(Some(started), leasing).await;
    let lease = match leased {
        Ok(Ok(lease)) => lease,
        Ok(Err(no_lease)) => {
            let is_other_left = plan.destination.balancer.has_other(tried);
            return without_lease(call, picked, no_lease, is_other_left);
        }
        Err(halt) => return halted_before(call, picked, halt),
    };
    if call.replier.is_cut() {
        // An endpoint would take many streams that are given up at once for a flood.
        return halted_before(call, picked, Halt::Cancelled);
    }
    let own = own_headers(call, &plan, started);
    let sent = wire::Head {
        method: &plan.head.method,
        uri: &plan.head.uri,
        headers: &plan.head.headers,
        instead: &own,
    };
    let opened = lease.opener().open(&sent, call.upload.is_empty());
    let (sender, awaiting) = match opened {
        Ok(opened) => opened,
        Err(unsent) => return not_opened(call, picked, &lease, unsent),
    };
    if call.upload.is_empty() {
        // The head was all of it.
        call.upload.abandon();
    }
    let upstream = Upstream {
        sender,
        picked,
        started,
        lease,
    };
    wait(call, &plan, upstream, awaiting).await
}

fn no_endpoint(plan: &Plan<'_>) -> String {
    let labels = plan.destination.labels(None);
    format!(
        "Service {}/{} has no ready endpoint",
        labels.namespace, labels.service
    )
}

/// What this try says itself, instead of what the caller has said.
fn own_headers(call: &Call, plan: &Plan<'_>, now: Instant) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if call.is_grpc {
        let timeout = call.deadline.header(now);
        if let Some(Ok(value)) = timeout.map(|text| HeaderValue::from_bytes(text.as_bytes())) {
            headers.insert(GRPC_TIMEOUT, value);
        }
        if plan.previous > 0 {
            headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(plan.previous));
        }
    }
    if let Some((span, attempt)) = call.record.span() {
        span.write(&mut headers, attempt);
    }
    headers
}

fn without_lease(call: &mut Call, picked: Picked, why: NoLease, is_other_left: bool) -> Tried {
    let now = clock::now();
    let endpoint = picked.address();
    call.record.attempt_ended(Code::Unavailable, false, now);
    let (message, verdict) = match why {
        NoLease::CircuitOpen => {
            picked.ended(now, Verdict::Nothing);
            let message = "circuitBreaker allows no more connections or waiting requests";
            return Tried::Refused(Reply::new(LocalReply::CircuitOpen, message.to_owned()));
        }
        NoLease::Connect(error) => {
            let message = format!("cannot connect to {endpoint}: {error}");
            (message, Verdict::ConnectFailed)
        }
        NoLease::Full => {
            let message = format!("no connection to {endpoint} had room in time");
            (message, Verdict::Nothing)
        }
    };
    picked.ended(now, verdict);
    Tried::Failed(Box::new(Failed {
        failure: Failure::Connect { is_other_left },
        push_back: None,
        instead: Instead::Reply(Reply::new(LocalReply::ConnectFailure, message)),
    }))
}

fn halted_before(call: &mut Call, picked: Picked, halt: Halt) -> Tried {
    let now = clock::now();
    let (code, verdict) = judge(call, halt);
    call.record.attempt_ended(code, false, now);
    picked.ended(now, verdict);
    expired_or_halted(halt)
}

fn not_opened(call: &mut Call, picked: Picked, lease: &Lease, unsent: Unsent) -> Tried {
    let now = clock::now();
    call.record.attempt_ended(Code::Unavailable, false, now);
    picked.ended(now, Verdict::Nothing);
    match unsent {
        Unsent::Closed => {
            lease.withdraw();
            Tried::Failed(Box::new(failed_by(Cut::Unsent)))
        }
        Unsent::Malformed => Tried::Refused(Reply::new(
            LocalReply::Malformed,
            "the request's headers cannot be sent on".to_owned(),
        )),
    }
}

/// Sends the body and waits for the head of the answer.
async fn wait(
    call: &mut Call,
    plan: &Plan<'_>,
    mut upstream: Upstream,
    mut awaiting: Awaiting,
) -> Tried {
    let started = upstream.started;
    let answered = poll_fn(|cx| {
        if let Err(halt) = call.move_upload(cx, &mut upstream.sender) {
            return Poll::Ready(Err(halt));
        }
        if let Poll::Ready(head) = awaiting.poll_head(cx) {
            return Poll::Ready(Ok(head));
        }
        if call.is_grpc && call.upload.count().messages() > 1 {
            call.deadline.becomes_stream();
            upstream.picked.becomes_stream();
        }
        call.poll_halt(cx, Some(started)).map(Err)
    })
    .await;
    match answered {
        Ok(Ok((head, body))) => answered_with(call, plan, upstream, (head, body)).await,
        Ok(Err(cut)) => cut_off(call, upstream, cut),
        Err(halt) => {
            upstream.cancel(call, halt);
            expired_or_halted(halt)
        }
    }
}

/// The end of `backendRequest` is a failure of this try alone.
fn expired_or_halted(halt: Halt) -> Tried {
    if halt != Halt::Expired(TimeoutKind::BackendRequest) {
        return Tried::Halted(halt);
    }
    let message = "timeouts.backendRequest is over".to_owned();
    Tried::Failed(Box::new(Failed {
        failure: Failure::TimedOut,
        push_back: None,
        instead: Instead::Reply(Reply::new(LocalReply::Timeout, message)),
    }))
}

fn cut_off(call: &mut Call, upstream: Upstream, cut: Cut) -> Tried {
    let failed = failed_by(cut);
    let (code, verdict) = if let Failure::Cut(code) = failed.failure {
        (code, Verdict::Reset)
    } else {
        (Code::Unavailable, Verdict::Nothing)
    };
    if cut == Cut::Unsent {
        upstream.lease.withdraw();
    }
    upstream.ended(call, code, verdict);
    Tried::Failed(Box::new(failed))
}

/// Looks at the head of the answer, and where a retry is possible at what follows it.
async fn answered_with(
    call: &mut Call,
    plan: &Plan<'_>,
    upstream: Upstream,
    (head, body): (response::Parts, Receiver),
) -> Tried {
    let mut answer = Box::new(Answer {
        head,
        download: Download::new(body),
        upstream,
    });
    let may_retry = plan.has_retry_left && call.upload.is_replayable() && call.upload.is_sent();
    if may_retry && call.is_grpc && code_of(&answer).is_none() {
        match hold(call, &mut answer).await {
            Ok(()) => {}
            Err(Held::Halted(halt)) => {
                answer.upstream.cancel(call, halt);
                return expired_or_halted(halt);
            }
            Err(Held::Cut(cut)) => return cut_off(call, answer.upstream, cut),
        }
    }
    let Some(failure) = failure_of(&answer, call.is_grpc) else {
        return Tried::Answered(answer);
    };
    let trailers = answer.download.trailers();
    let values = trailers.unwrap_or(&answer.head.headers).get_all(PUSH_BACK);
    Tried::Failed(Box::new(Failed {
        failure,
        push_back: PushBack::of(values.iter().map(HeaderValue::as_bytes)),
        instead: Instead::Answer(answer),
    }))
}

/// What ends the wait for the first piece.
enum Held {
    Halted(Halt),
    Cut(Cut),
}

/// Waits for what follows the head, for a while.
async fn hold(call: &mut Call, answer: &mut Answer) -> Result<(), Held> {
    let mut over = pin!(tokio::time::sleep(HOLD));
    let started = answer.upstream.started;
    poll_fn(|cx| {
        if let Poll::Ready(first) = answer.download.poll_first(cx) {
            return Poll::Ready(first.map_err(Held::Cut));
        }
        if over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        call.poll_halt(cx, Some(started))
            .map(|halt| Err(Held::Halted(halt)))
    })
    .await
}
