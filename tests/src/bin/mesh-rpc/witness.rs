//! The server of [`mesh_tests::witness`].

use crate::service::{self, Methods};
use bytes::Bytes;
use mesh_tests::load::{Bare, Call, SERVICE};
use mesh_tests::witness::{Conduct, DECK, Sighting};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

/// Serves until standard input ends.
pub(crate) async fn serve(listen: SocketAddr, name: &str) -> Result<(), Box<dyn Error>> {
    let witness = Witness {
        name: name.into(),
        notes: Arc::default(),
    };
    let notes = Arc::clone(&witness.notes);
    let told = async move {
        let mut orders = BufReader::new(stdin()).lines();
        // An order that is none ends it, which the test sees.
        while let Ok(Some(order)) = orders.next_line().await {
            if lock(&notes).take_order(&order).is_err() {
                return;
            }
        }
    };
    service::serve(listen, witness, None, told).await
}

/// What it was told, and what it has seen.
#[derive(Debug, Default)]
struct Notes {
    conduct: Conduct,
    seen: Vec<Sighting>,
    /// Whether the next calls fail, by tries before; dealt from the end.
    decks: BTreeMap<u32, Vec<bool>>,
}

impl Notes {
    fn take_order(&mut self, order: &str) -> Result<(), Box<dyn Error>> {
        self.conduct = serde_json::from_str(order)?;
        self.decks.clear();
        let seen = std::mem::take(&mut self.seen);
        crate::say(&serde_json::to_string(&seen)?)?;
        Ok(())
    }

    /// Notes a call; gives how long it takes, and whether it fails.
    fn call(&mut self, previous: u32) -> (Duration, bool) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.seen.push(Sighting {
            at_us: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            previous,
        });
        let deck = self.decks.entry(previous).or_default();
        if deck.is_empty() {
            let failing = self.conduct.failing;
            deck.extend((0..DECK).map(|card| card < failing));
            fastrand::shuffle(deck);
        }
        let is_failing = deck.pop().unwrap_or(false);
        (Duration::from_millis(self.conduct.delay_ms), is_failing)
    }
}

fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug)]
struct Witness {
    name: Arc<str>,
    notes: Arc<Mutex<Notes>>,
}

impl Methods for Witness {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        Grpc::new(Bare).unary(self, request).await
    }
}

impl UnaryService<Bytes> for Witness {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let previous = request.metadata().get("grpc-previous-rpc-attempts");
        let previous = previous.and_then(|value| value.to_str().ok()?.parse().ok());
        let (delay, is_failing) = lock(&self.notes).call(previous.unwrap_or(0));
        let reply = match Call::from_order(request.get_ref()) {
            Some(order) => vec![0; order.reply_bytes as usize].into(),
            None => [self.name.as_bytes(), b"\n", request.get_ref()]
                .concat()
                .into(),
        };
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if is_failing {
                return Err(Status::unavailable("as told"));
            }
            Ok(Response::new(reply))
        })
    }
}
