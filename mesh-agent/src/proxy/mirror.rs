//! Copies of requests: sent to another Service, their answers thrown away. A copy never slows its request: what it cannot keep up
//! with ends it.

use super::attempt::Head;
use super::clock;
use super::destination::Destination;
use super::session::Context;
use super::upstream::PoolKey;
use super::wire::{self, Awaiting, Piece, Sender};
use crate::balance::Wish;
use crate::resilience::{Permit, Resource, Verdict};
use crate::route::{Mirror, Rule, Share};
use bytes::Bytes;
use http::{HeaderMap, Request};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces of a request that may wait for its copy's connection; a piece is a frame, 16 KiB at most by default.
const WAITING_MAX: usize = 16;

/// No copy is under way for longer.
const LIFE_MAX: Duration = Duration::from_secs(60);

/// How many copies there were (`mesh_mirrored_total{result}`).
#[derive(Debug, Default)]
pub struct MirrorFigures {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl MirrorFigures {
    /// Copies that were answered, whatever the answer.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Copies that were not.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// What a copy gets of its request.
#[derive(Clone, Debug)]
pub(super) enum Copied {
    /// Some of the body.
    Data(Bytes),
    /// The end.
    End(Option<HeaderMap>),
}

/// Where the pieces of a request go besides.
pub(super) type Copies = Vec<mpsc::Sender<Copied>>;

/// Starts the copies that a request is to have.
pub(super) fn start(context: &Arc<Context>, rule: &Rule, share: &Share, head: &Head) -> Copies {
    let mirrors = rule.mirrors.iter().chain(&share.mirrors);
    let taken = mirrors.filter(|mirror| mirror.takes(fastrand::u32(..)));
    taken
        .filter_map(|mirror| copy(context, mirror, head))
        .collect()
}

fn copy(context: &Arc<Context>, mirror: &Mirror, head: &Head) -> Option<mpsc::Sender<Copied>> {
    // A reference that does not resolve is reported with its route.
    let backend = mirror.to.as_ref().ok()?;
    let destinations = context.proxy.destinations();
    let destination = destinations.of(backend, clock::now());
    let Some(permit) = destination.client.breaker.take(Resource::Request) else {
        destination.mirrors.failed.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    let (sender, pieces) = mpsc::channel(WAITING_MAX);
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    let context = Arc::clone(context);
    tokio::spawn(async move {
        let _permit: Permit = permit;
        let sending = send(&context, &destination, request, pieces);
        let sent = tokio::time::timeout(LIFE_MAX, sending).await;
        let counted = match sent {
            Ok(Some(())) => &destination.mirrors.sent,
            Ok(None) | Err(_) => &destination.mirrors.failed,
        };
        counted.fetch_add(1, Ordering::Relaxed);
    });
    Some(sender)
}

/// Sends a copy and reads its answer; `None`: it did not come so far.
async fn send(
    context: &Context,
    destination: &Arc<Destination>,
    request: Request<()>,
    mut pieces: mpsc::Receiver<Copied>,
) -> Option<()> {
    let picked = destination.balancer.pick(&Wish {
        now: clock::now(),
        random: fastrand::u64(..),
        hash: None,
        client: None,
        avoid: &[],
    })?;
    let key = PoolKey {
        netns: context.caller.netns,
        source: context.caller.source,
        endpoint: picked.address(),
    };
    let pool = context.proxy.pool();
    let lease = pool.acquire(key, &destination.client).await.ok()?;
    let sent = wire::Head {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        instead: &HeaderMap::new(),
    };
    let (mut sender, mut awaiting) = lease.opener().open(&sent, false).ok()?;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Copied::Data(mut data) => {
                while !data.is_empty() {
                    poll_fn(|cx| sender.poll_send(cx, &mut data, false))
                        .await
                        .ok()?;
                }
            }
            Copied::End(trailers) => {
                sender.finish(trailers).ok()?;
                let answered = answer(&mut awaiting, &mut sender).await;
                // What a copy is answered says nothing of the endpoint: nobody has asked for it.
                picked.ended(clock::now(), Verdict::Nothing);
                return answered;
            }
        }
    }
    // The request was cut short, or its copy could not keep up.
    None
}

/// Reads an answer to its end. `_sender` keeps the stream.
async fn answer(awaiting: &mut Awaiting, _sender: &mut Sender) -> Option<()> {
    let (_, mut body) = poll_fn(|cx| awaiting.poll_head(cx)).await.ok()?;
    poll_fn(|cx| {
        loop {
            match body.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data(data))) => body.release(data.len()),
                Poll::Ready(Ok(Piece::Trailers(_) | Piece::End)) => return Poll::Ready(Some(())),
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
