//! A client that gives its calls up at random points: before the answer, in it, between two of its messages, or not at all.

use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_tests::load::{Bare, Call, SERVICE};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// One call in so many is waited for: how long it takes is what the others' patience goes by, on any machine.
const WAITED_FOR: u64 = 32;

/// Replies of a call.
const REPLIES: u8 = 2;

/// How many calls there are, and what became of them.
#[derive(Debug, Default)]
struct Calls {
    /// How long a call takes that is waited for.
    usual_us: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    first_failure: OnceLock<String>,
}

/// Makes the calls and prints how many ended by themselves, were given up, and failed, and what one of those that failed said.
pub(crate) async fn call(
    target: SocketAddr,
    connections: u32,
    streams: u32,
    calls: u64,
) -> Result<(), Box<dyn Error>> {
    let made = Arc::new(Calls::default());
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let endpoint = Endpoint::from_shared(format!("http://{target}"))?;
        let channel = endpoint.connect().await?;
        for _ in 0..streams {
            workers.spawn(Arc::clone(&made).work(channel.clone(), calls));
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    let [ended, failed] = [&made.ended, &made.failed].map(|count| count.load(Ordering::Relaxed));
    let given_up = calls - ended - failed;
    let failure = made.first_failure.get().map_or("", String::as_str);
    crate::say(&format!("{ended} {given_up} {failed} {failure}"))?;
    Ok(())
}

impl Calls {
    async fn work(self: Arc<Self>, channel: Channel, calls: u64) {
        let mut random = fastrand::Rng::new();
        for number in 0.. {
            if self.begun.fetch_add(1, Ordering::Relaxed) >= calls {
                return;
            }
            let begun = Instant::now();
            let is_waited_for = number % WAITED_FOR == 0;
            let patience = if is_waited_for {
                Duration::MAX
            } else {
                // From twice as long as it takes down to nothing, as likely at each order of magnitude.
                let usual = Duration::from_micros(self.usual_us.load(Ordering::Relaxed));
                usual.mul_f64(2.0 / f64::from(1_u32 << random.u32(..8)))
            };
            let mut grpc = Grpc::new(channel.clone());
            match timeout(patience, stream(&mut grpc, &mut random)).await {
                Ok(Ok(())) => self.ended.fetch_add(1, Ordering::Relaxed),
                Ok(Err(status)) => {
                    self.first_failure.get_or_init(|| format!("{status:?}"));
                    self.failed.fetch_add(1, Ordering::Relaxed)
                }
                Err(_given_up) => 0,
            };
            if is_waited_for {
                let taken_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.usual_us.store(taken_us, Ordering::Relaxed);
            }
        }
    }
}

/// A stream both ways whose replies come with the requests, the first after some time.
async fn stream(grpc: &mut Grpc<Channel>, random: &mut fastrand::Rng) -> Result<(), Status> {
    let order = Call {
        replies: REPLIES,
        delay_us: random.u32(..2_000),
        reply_bytes: random.u32(..5_000),
        ..Call::unary("Chat", 0)
    };
    let mut first = order.order().to_vec();
    first.resize(first.len() + random.usize(..5_000), 0);
    let pause = Duration::from_micros(random.u64(..1_000));
    let rest = Bytes::from(vec![0; 100]);
    let requests = tokio_stream::iter(
        std::iter::once(first.into()).chain(std::iter::repeat_n(rest, usize::from(REPLIES) - 1)),
    );
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::try_from(format!("/{SERVICE}/Chat"));
    let path = path.map_err(|error| Status::internal(error.to_string()))?;
    let answer = grpc.streaming(Request::new(requests), path, Bare).await?;
    let mut replies = answer.into_inner();
    while replies.message().await?.is_some() {
        sleep(pause).await;
    }
    Ok(())
}
