//! The client of [`mesh_tests::steady`]: calls all the time, and says what came of it when it is asked.

use crate::call::{PAYLOAD, identity};
use http::uri::PathAndQuery;
use mesh_tests::load::Bare;
use mesh_tests::rpc::{Calls, METHOD};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Between two calls of a stream: it is to call all the time, not to take all of the machine.
const PAUSE: Duration = Duration::from_millis(5);

/// What hyper says of a request that it has not sent.
const UNSENT: &str = "hyper::Error(Canceled";

/// What the streams share.
#[derive(Debug)]
struct Shared {
    calls: Mutex<Calls>,
    /// Raised with each question.
    round: AtomicU64,
    /// For each stream the round in which its last call that has ended began.
    reached: Vec<AtomicU64>,
    /// Told whenever a call has ended.
    progress: Notify,
    is_over: AtomicBool,
}

/// Calls until standard input ends; for each line, at the beginning and at the end says what came of the calls since the last
/// time.
pub(crate) async fn call(
    target: SocketAddr,
    connections: usize,
    streams: usize,
    habit: &str,
) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::from_shared(format!("http://{target}"))?;
    let shared = Arc::new(Shared {
        calls: Mutex::default(),
        round: AtomicU64::new(1),
        reached: (0..connections * streams)
            .map(|_| AtomicU64::new(0))
            .collect(),
        progress: Notify::new(),
        is_over: AtomicBool::new(false),
    });
    let mut workers = JoinSet::new();
    for connection in 0..connections {
        let kept = match habit {
            "stay" => Some(endpoint.connect().await?),
            _ => None,
        };
        for stream in 0..streams {
            let number = connection * streams + stream;
            let (shared, endpoint) = (Arc::clone(&shared), endpoint.clone());
            workers.spawn(shared.work(number, endpoint, kept.clone()));
        }
    }
    shared.tell().await?;
    let mut lines = BufReader::new(stdin()).lines();
    while lines.next_line().await?.is_some() {
        shared.round.fetch_add(1, Ordering::Relaxed);
        shared.tell().await?;
    }
    shared.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    shared.tell().await
}

impl Shared {
    async fn work(self: Arc<Self>, number: usize, endpoint: Endpoint, kept: Option<Channel>) {
        while !self.is_over.load(Ordering::Relaxed) {
            let round = self.round.load(Ordering::Relaxed);
            let outcome = match &kept {
                Some(channel) => say(channel.clone()).await,
                None => match endpoint.connect().await {
                    Ok(channel) => say(channel).await,
                    Err(error) => Err(format!("cannot connect: {error:?}")),
                },
            };
            if outcome
                .as_ref()
                .is_err_and(|failure| failure.contains(UNSENT))
            {
                self.lock().unsent += 1;
                continue;
            }
            self.note(outcome);
            self.reached[number].store(round, Ordering::Relaxed);
            self.progress.notify_one();
            sleep(PAUSE).await;
        }
    }

    fn note(&self, outcome: Result<String, String>) {
        let mut calls = self.lock();
        let (outcomes, name) = match outcome {
            Ok(identity) => (&mut calls.answers, identity),
            Err(failure) => (&mut calls.failures, failure),
        };
        *outcomes.entry(name).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what came of the calls, once every stream is in this round.
    async fn tell(&self) -> Result<(), Box<dyn Error>> {
        let round = self.round.load(Ordering::Relaxed);
        let has_reached = |reached: &AtomicU64| reached.load(Ordering::Relaxed) >= round;
        while !self.reached.iter().all(has_reached) {
            self.progress.notified().await;
        }
        let calls = std::mem::take(&mut *self.lock());
        crate::say(&serde_json::to_string(&calls)?)?;
        Ok(())
    }
}

/// One call: who answered, or what went wrong.
async fn say(channel: Channel) -> Result<String, String> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| format!("{error:?}"))?;
    let path = PathAndQuery::from_static(METHOD);
    let answer = grpc.unary(Request::new(PAYLOAD), path, Bare).await;
    let answer = answer.map_err(|status: Status| format!("{status:?}"))?;
    identity(answer.get_ref()).ok_or_else(|| "not what was sent".to_owned())
}
