//! From observed RPCs to batches of spans on their way to a collector.

use crate::export::otlp::{Collector, ExportError};
use crate::observe::{Losses, ObservedRpc};
use mesh_common::meter::record::reason;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep_until};

/// RPCs that wait for the collector: about a megabyte.
pub(super) const WAITING_MAX: usize = 4_096;

/// RPCs of one batch; the customary size of OpenTelemetry's own processor.
const BATCH_MAX: usize = 512;

/// How long a batch waits to become full.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// How often a collector that cannot be reached is told of again.
const REMIND: Duration = Duration::from_secs(60);

/// The queue's front end.
#[derive(Clone, Debug)]
pub struct Spans {
    queue: Sender<Arc<ObservedRpc>>,
    losses: Losses,
}

/// The queue's back end.
#[derive(Debug)]
pub struct SpanQueue {
    queue: Receiver<Arc<ObservedRpc>>,
    losses: Losses,
}

/// Spans that an RPC gives.
fn span_count(rpc: &ObservedRpc) -> u64 {
    if let Some(call) = &rpc.routed {
        return 1 + call.attempts.len() as u64;
    }
    u64::from(rpc.side.is_client()) + u64::from(rpc.side.is_server())
}

impl Spans {
    /// Makes the queue.
    #[must_use]
    pub fn new(losses: Losses) -> (Self, SpanQueue) {
        let (sender, receiver) = channel(WAITING_MAX);
        let front = Self {
            queue: sender,
            losses: losses.clone(),
        };
        let back = SpanQueue {
            queue: receiver,
            losses,
        };
        (front, back)
    }

    /// Puts in what was chosen for more than a tap. What finds no room is lost.
    pub(super) fn offer(&self, batch: &[Arc<ObservedRpc>]) {
        let traced = batch.iter().filter(|rpc| rpc.reasons & !reason::TAP != 0);
        for rpc in traced {
            if self.queue.try_send(Arc::clone(rpc)).is_err() {
                self.losses.spans(span_count(rpc));
            }
        }
    }
}

impl SpanQueue {
    /// Delivers batches until the front end is gone and everything is delivered or lost.
    pub async fn deliver(mut self, mut collector: Collector) {
        let mut last_warning: Option<Instant> = None;
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while self.fill(&mut batch).await {
            let undelivered = collector.export(&batch).await;
            if let Err(ExportError { spans, reason }) = undelivered {
                self.losses.spans(spans);
                let now = Instant::now();
                if last_warning.is_none_or(|last| now.duration_since(last) >= REMIND) {
                    last_warning = Some(now);
                    tracing::warn!(spans, %reason, "spans are lost: the collector does not take them");
                }
            }
            batch.clear();
        }
    }

    /// Waits for the next batch; `false`: there will be none.
    async fn fill(&mut self, batch: &mut Vec<Arc<ObservedRpc>>) -> bool {
        if self.queue.recv_many(batch, BATCH_MAX).await == 0 {
            return false;
        }
        let full_or_late = Instant::now() + BATCH_DELAY;
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                received = self.queue.recv_many(batch, room) => if received == 0 { break },
                () = sleep_until(full_or_late) => break,
            }
        }
        true
    }
}
