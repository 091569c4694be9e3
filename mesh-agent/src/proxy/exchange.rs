//! One request: which rule it meets, its tries, its answer.
//!
//! ```text
//!  head ─▶ rule ─▶ rate limit, fault ─▶ backend ─▶ try ──answered──▶ deliver
//!            │           │                │         │ ▲
//!            └───────────┴────────────────┴─▶ reply │ └─ again: retry, resend (resilience::Tries)
//!                                            ▲ ▲    │
//!                                   fallback─┘ └────┘ failed, refused, too late
//! ```

use super::attempt::{self, Answer, Failed, Head, Instead, Plan, Tried};
use super::call::{Call, Halt, timeout_reply};
use super::clock;
use super::deliver::deliver;
use super::fallback::{self, Failing};
use super::mirror;
use super::record::Record;
use super::reply::Reply;
use super::session::Context;
use super::upstream::PoolKey;
use super::wire::Incoming;
use crate::balance::{Client, Wish, hash_key};
use crate::grpc::Code;
use crate::model::{Algorithm, HashKey, RateLimitKey, Retry};
use crate::observe::{LocalReply, Propagated, Replaced, SessionCalls};
use crate::resilience::{Injection, NextTry, Report, Resource, Stop, Tries, Verdict};
use crate::route::{Backend, Choice, RequestHead, RoutedPort, Rule};
use http::{Method, request};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Why there is no answer of an endpoint.
pub(super) enum Stopped {
    /// The mesh answers.
    Reply(Reply),
    /// The call goes no further.
    Halted(Halt),
}

impl From<Halt> for Stopped {
    fn from(halt: Halt) -> Self {
        Self::Halted(halt)
    }
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, Default)]
struct Policy<'p> {
    /// Which failures are tried again.
    retry: Option<&'p Retry>,
    /// Whether a fallback answers when the last retry has failed.
    is_replaced: bool,
}

/// Serves one request to its end.
pub(super) async fn run(context: Arc<Context>, incoming: Incoming) {
    let started = clock::now();
    let path = incoming.head.uri.path_and_query().cloned();
    let is_grpc = super::call::is_grpc(&incoming.head);
    let mut record = Record::new(
        context.labels(),
        path.clone(),
        is_grpc,
        started,
        context.proxy.outcomes(),
        context.proxy.figures(),
    );
    if let Some(path) = path.filter(|_| is_grpc) {
        record.counts(SessionCalls::begin(&context.open, path, started));
        let said = Propagated::read(&incoming.head.headers);
        let recording = context.proxy.settings().recording;
        record.note(|outcome| {
            outcome.parent = said.parent;
            outcome.span = recording.begin(&said, (fastrand::u128(..), fastrand::u64(..)));
        });
    }
    let (head, mut call) = Call::new(incoming, started, is_grpc, record);
    if head.method == Method::CONNECT {
        let message = "CONNECT is not for services".to_owned();
        call.reply(&Reply::new(LocalReply::Connect, message));
        return;
    }
    let met = context.port().map(|port| meet(&context, &port, &head));
    let rule = match met {
        Some(Ok(rule)) => rule,
        Some(Err(reply)) => return call.reply(&reply),
        None => {
            let message = format!("{} is not routed any more", context.requested);
            let reply = Reply::new(LocalReply::NoRoute, message).with_code(Code::Unavailable);
            return call.reply(&reply);
        }
    };
    match serve(&context, &mut call, &rule, head).await {
        Ok(answer) => deliver(&mut call, *answer, &rule.name).await,
        Err(Stopped::Reply(reply)) => call.reply(&reply),
        // The caller has left: there is nobody to answer.
        Err(Stopped::Halted(Halt::Cancelled)) => {}
        Err(Stopped::Halted(Halt::Expired(kind))) => {
            call.record
                .note(|outcome| outcome.timeout = Some(kind.label()));
            call.reply(&timeout_reply(kind, &rule.name));
        }
    }
}

/// The rule that a request meets.
fn meet(context: &Context, port: &RoutedPort, head: &request::Parts) -> Result<Arc<Rule>, Reply> {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let rules = port.rules(context.caller.namespace.as_deref());
    let rule = rules.find(&RequestHead {
        method: &head.method,
        path,
        headers: &head.headers,
    });
    rule.map(Arc::clone).ok_or_else(|| {
        let message = format!(
            "no rule of Service {} port {} matches {}",
            port.service,
            port.port,
            head.uri.path()
        );
        Reply::new(LocalReply::NoRoute, message)
    })
}

/// Everything between the rule and the answer.
async fn serve(
    context: &Arc<Context>,
    call: &mut Call,
    rule: &Rule,
    mut head: request::Parts,
) -> Result<Box<Answer>, Stopped> {
    call.bound(&head, &rule.traffic.timeouts);
    admit(context, call, rule, &head).await?;
    let (backend, share) = match rule.choose(fastrand::u32(..)) {
        Choice::To(backend, share) => (backend, share),
        Choice::Nowhere(why) => {
            let message = format!("{}: {why}", rule.name);
            return Err(Stopped::Reply(Reply::new(LocalReply::NoBackend, message)));
        }
    };
    rule.request_headers.apply(&mut head.headers);
    share.request_headers.apply(&mut head.headers);
    let head = Head {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
    };
    if !rule.mirrors.is_empty() || !share.mirrors.is_empty() {
        let copies = mirror::start(context, rule, share, &head);
        call.upload.copy_to(copies);
    }
    let policy = Policy {
        retry: rule.traffic.retry.as_ref(),
        is_replaced: fallback::of(rule, Failing::Retries).is_some(),
    };
    let mut answered = try_backend(context, call, backend, policy, &head).await;
    if let Err((stopped, failing)) = answered {
        answered = match fallback::of(rule, failing) {
            None => Err((stopped, failing)),
            Some(fallback) => {
                note_replaced(&mut call.record, &stopped);
                match fallback::backend(rule, fallback) {
                    Ok(backend) if call.upload.is_replayable() => {
                        call.upload.restart();
                        try_backend(context, call, backend, Policy::default(), &head).await
                    }
                    Ok(_) => Err((stopped, failing)),
                    Err(reply) => Err((Stopped::Reply(reply), failing)),
                }
            }
        };
    }
    let mut answer = answered.map_err(|(stopped, _)| stopped)?;
    let headers = &mut answer.head.headers;
    share.response_headers.apply(headers);
    rule.response_headers.apply(headers);
    Ok(answer)
}

/// Rate limit and fault.
async fn admit(
    context: &Context,
    call: &mut Call,
    rule: &Rule,
    head: &request::Parts,
) -> Result<(), Stopped> {
    if let Some(limit) = &rule.traffic.rate_limit {
        let source: String;
        let key: &[u8] = match &limit.per {
            RateLimitKey::Total => &[],
            RateLimitKey::Source => {
                // Who is not known shares the bucket of all who are not.
                let workload = context.caller.workload.as_ref();
                source = workload.map(ToString::to_string).unwrap_or_default();
                source.as_bytes()
            }
            RateLimitKey::Header(name) => head
                .headers
                .get(&**name)
                .map_or(&[], |value| value.as_bytes()),
        };
        let limiter = context.proxy.limiter(rule, limit, call.started);
        if !limiter.admits(key, call.started) {
            let message = format!("rateLimit of {} is reached", rule.name);
            return Err(Stopped::Reply(Reply::new(LocalReply::RateLimited, message)));
        }
    }
    let injected = Injection::decide(&rule.traffic.fault, fastrand::u64(..));
    if let Some(delay) = injected.delay {
        call.record.note(|outcome| outcome.is_delayed = true);
        call.pause(delay).await?;
    }
    if let Some(code) = injected.abort {
        let message = format!("fault.abort of {}", rule.name);
        let reply = Reply::new(LocalReply::Fault, message).with_code(code);
        return Err(Stopped::Reply(reply));
    }
    Ok(())
}

/// Tries one backend until there is an answer for the caller. An error also says what a fallback may be for.
async fn try_backend(
    context: &Context,
    call: &mut Call,
    backend: &Arc<Backend>,
    policy: Policy<'_>,
    head: &Head,
) -> Result<Box<Answer>, (Stopped, Failing)> {
    let retry = policy.retry;
    let now = clock::now();
    let destination = context.proxy.destinations().of(backend, now);
    let permit = destination.client.breaker.take(Resource::Request);
    let Some(permit) = permit else {
        let message = format!("circuitBreaker.maxRequests of {} is reached", backend.name);
        let reply = Reply::new(LocalReply::CircuitOpen, message);
        let nobody = destination.labels(None);
        call.record.note(|outcome| outcome.destination = nobody);
        return Err((Stopped::Reply(reply), Failing::CircuitOpen));
    };
    call.permit = Some(permit);
    destination.budget.original(now);
    let mut tries = Tries::default();
    let mut tried: Vec<SocketAddr> = vec![];
    loop {
        let avoid = tried.clone();
        let plan = Plan {
            pool: context.proxy.pool(),
            key: PoolKey {
                netns: context.caller.netns,
                source: context.caller.source,
                endpoint: context.requested,
            },
            destination: &destination,
            head,
            wish: wish(context, backend, head, &avoid),
            previous: tries.previous(),
            has_retry_left: retry.is_some_and(|retry| tries.previous() < retry.attempts),
        };
        let failed = match attempt::run(call, plan, &mut tried).await {
            Tried::Answered(answer) => {
                note_retry(&mut call.record, tries.result_label(true));
                return Ok(answer);
            }
            Tried::Refused(reply) => {
                let failing = Failing::of(&reply);
                return Err((Stopped::Reply(reply), failing));
            }
            Tried::Halted(halt) => return Err((Stopped::Halted(halt), Failing::Nothing)),
            Tried::Failed(failed) => failed,
        };
        let report = Report {
            failure: failed.failure,
            push_back: failed.push_back,
            is_committed: false,
            is_replayable: call.upload.is_replayable(),
            now: clock::now(),
            random: fastrand::u64(..),
        };
        let next = tries.next_try(retry, &report, &call.deadline, &destination.budget);
        let (NextTry::Retry(pause) | NextTry::Resend(pause)) = next else {
            return give_up(call, (&tries, policy), next, *failed);
        };
        give_back(call, *failed);
        call.upload.restart();
        call.pause(pause)
            .await
            .map_err(|halt| (Stopped::Halted(halt), Failing::Nothing))?;
    }
}

/// How the endpoint of a try is chosen.
fn wish<'w>(
    context: &'w Context,
    backend: &Backend,
    head: &Head,
    avoid: &'w [SocketAddr],
) -> Wish<'w> {
    let hash = match &backend.traffic.load_balancing.algorithm {
        Algorithm::RingHash(HashKey::Header(name)) => {
            let value = head.headers.get(&**name);
            value.map(|value| hash_key(value.as_bytes()))
        }
        Algorithm::RingHash(HashKey::Source) => {
            context.caller.address.map(|address| match address {
                IpAddr::V4(ip) => hash_key(&ip.octets()),
                IpAddr::V6(ip) => hash_key(&ip.octets()),
            })
        }
        Algorithm::PeakEwma
        | Algorithm::LeastRequest
        | Algorithm::RoundRobin
        | Algorithm::Random => None,
    };
    let client = backend.affinity_timeout_s.map(|_| Client {
        netns_cookie: context.caller.netns,
        bound: context.caller.source,
    });
    Wish {
        now: clock::now(),
        random: fastrand::u64(..),
        hash,
        client,
        avoid,
    }
}

/// The caller gets what the last try has brought.
fn give_up(
    call: &mut Call,
    (tries, policy): (&Tries, Policy<'_>),
    next: NextTry,
    failed: Failed,
) -> Result<Box<Answer>, (Stopped, Failing)> {
    let stop = match next {
        NextTry::Stop(stop) => stop,
        NextTry::Retry(_) | NextTry::Resend(_) => Stop::Final,
    };
    let label = stop.label().or_else(|| tries.result_label(false));
    note_retry(&mut call.record, label);
    let exhausted = Failing::Nothing.or_exhausted(stop);
    match failed.instead {
        Instead::Answer(answer) if policy.is_replaced && exhausted == Failing::Retries => {
            let code = attempt::code_of(&answer).unwrap_or(Code::Unknown);
            answer.upstream.ended(call, code, Verdict::Status(code));
            // What the caller gets if the fallback cannot answer either.
            let message = "every try failed".to_owned();
            let reply = Reply::new(LocalReply::Fallback, message).with_code(code);
            Err((Stopped::Reply(reply), exhausted))
        }
        Instead::Answer(answer) => Ok(answer),
        Instead::Reply(reply) => {
            let failing = Failing::of(&reply).or_exhausted(stop);
            Err((Stopped::Reply(reply), failing))
        }
    }
}

/// A fallback, which is not retried, leaves what is known of retries.
fn note_retry(record: &mut Record, label: Option<&'static str>) {
    record.note(|outcome| outcome.retry = label.or(outcome.retry));
}

fn note_replaced(record: &mut Record, stopped: &Stopped) {
    let reason = match stopped {
        Stopped::Reply(reply) => {
            Some(reply.reason).filter(|reason| *reason != LocalReply::Fallback)
        }
        Stopped::Halted(_) => None,
    };
    record.note(|outcome| {
        let destination = Arc::clone(&outcome.destination);
        outcome.replaced = Some(Replaced {
            destination,
            reason,
        });
    });
}

/// Lets go of the answer of a try that is followed by another one.
fn give_back(call: &mut Call, failed: Failed) {
    if let Instead::Answer(answer) = failed.instead {
        let code = attempt::code_of(&answer).unwrap_or(Code::Unknown);
        answer.upstream.ended(call, code, Verdict::Status(code));
    }
}
