//! The load generator: places orders at a steady rate and prints a tally of who answered.

use crate::payload::{check_payload, payload};
use crate::protocol::order_client::OrderClient;
use crate::protocol::{PlaceReply, PlaceRequest};
use crate::upstream::Upstream;
use mesh_tests::shop::Tally;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;

/// Orders on their way at a time.
const WORKER_COUNT: u32 = 8;

/// Items of one order: messages of its two streams.
const ITEM_COUNT: u32 = 3;

const TALLY_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Ledger {
    tally: Tally,
    times_us: Vec<u64>,
}

/// Places `rate` orders a second until the process ends.
pub(crate) async fn place_orders(order: Upstream, rate: u32) -> io::Result<()> {
    let order = Arc::new(order);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let number = Arc::new(AtomicU64::new(0));
    for _ in 0..WORKER_COUNT {
        tokio::spawn(work(
            Arc::clone(&order),
            Arc::clone(&ledger),
            Arc::clone(&number),
            rate,
        ));
    }
    let mut ticks = interval(TALLY_INTERVAL);
    loop {
        ticks.tick().await;
        let line = serde_json::to_string(&closed(&ledger))?;
        let mut output = io::stdout().lock();
        writeln!(output, "{line}")?;
        output.flush()?;
    }
}

async fn work(order: Arc<Upstream>, ledger: Arc<Mutex<Ledger>>, number: Arc<AtomicU64>, rate: u32) {
    let mut ticks = interval(Duration::from_secs(1) * WORKER_COUNT / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let begin = Instant::now();
        let result = place(&order, number.fetch_add(1, Ordering::Relaxed)).await;
        let time_us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        enter(&mut ledger, result, time_us);
    }
}

async fn place(upstream: &Upstream, order: u64) -> Result<PlaceReply, Status> {
    let request = PlaceRequest {
        order,
        items: ITEM_COUNT,
        payload: payload(order),
    };
    let reply = OrderClient::new(upstream.channel())
        .place(request)
        .await?
        .into_inner();
    check_payload(order, &reply.payload)?;
    Ok(reply)
}

fn enter(ledger: &mut Ledger, result: Result<PlaceReply, Status>, time_us: u64) {
    match result {
        Ok(reply) => {
            ledger.tally.orders += 1;
            ledger.times_us.push(time_us);
            for hop in reply.hops {
                let endpoints = ledger.tally.answered.entry(hop.service).or_default();
                *endpoints.entry(hop.endpoint).or_default() += 1;
            }
        }
        Err(status) => {
            ledger.tally.errors += 1;
            ledger.tally.last_error = Some(format!("{:?}: {}", status.code(), status.message()));
        }
    }
}

/// Closes an interval: its tally, with the percentiles of its orders.
fn closed(ledger: &Mutex<Ledger>) -> Tally {
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let mut times_us = std::mem::take(&mut ledger.times_us);
    times_us.sort_unstable();
    let at = |percent: usize| {
        let index = times_us.len() * percent / 100;
        times_us.get(index).copied().unwrap_or(0)
    };
    ledger.tally.order_p50_us = at(50);
    ledger.tally.order_p99_us = at(99);
    ledger.tally.clone()
}
