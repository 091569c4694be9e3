//! L3: single RPCs on their way to spans and to readers of `tap`: the one thread that waits for those of the meter, and what
//! becomes of those of the proxy.
//!
//! ```text
//! kernel ring ─► thread `observed` ─┬─► spans: bounded queue ─► task ─► OTLP   (all but those chosen for tap alone)
//! proxy ───────► thread `observe` ──┼─► taps:  bounded queue each ─► /api/tap  (those that match)
//!                                   └─► access log (of the proxy's alone)
//! ```
//!
//! A queue that is full loses what comes, and counts it; nobody waits for anybody.

mod access_log;
mod collector;
mod routed;
mod spans;
mod taps;

pub use access_log::{AccessLog, AccessLogSettings};
pub use collector::connect;
pub use routed::{CallSinks, CallSource, Moment, RoutedCalls};
pub use spans::{SpanQueue, Spans};
pub use taps::{Tap, Taps, TooManyTaps};

use crate::lifecycle::Worker;
use crate::observe::{ObservedRpc, Recording};
use mesh_common::meter::record::Sampling;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The thread looks after itself so often, even where nothing happens: a reader of `tap` that has gone is noticed.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Which RPCs the meter tells of while nobody taps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TraceChoice {
    /// The share of those whose caller did not decide, between 0 and 1.
    pub ratio: f64,
    /// Those that took at least so long; zero: none for that.
    pub slow: Duration,
    /// Those that failed.
    pub failed: bool,
    /// Those whose caller records its span.
    pub parent: bool,
}

impl TraceChoice {
    /// What the proxy has to know.
    #[must_use]
    pub fn recording(self) -> Recording {
        Recording {
            ratio: self.share(),
            parent: self.parent,
        }
    }

    /// The ratio in parts of 2^32 - 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float that becomes an integer saturates"
    )]
    fn share(self) -> u32 {
        (self.ratio * f64::from(u32::MAX)).round() as u32
    }

    /// What the kernel has to know.
    #[must_use]
    pub fn sampling(self, is_tapped: bool) -> Sampling {
        Sampling {
            slow_ns: u64::try_from(self.slow.as_nanos()).unwrap_or(u64::MAX),
            ratio: self.share(),
            failed: self.failed.into(),
            parent: self.parent.into(),
            tap: is_tapped.into(),
            reserved: 0,
        }
    }
}

/// Hands single RPCs to whoever takes them; says whether there may be more.
pub type ReadRpcs = Box<dyn FnMut(&mut dyn FnMut(ObservedRpc)) -> bool>;

/// What the thread reads from: the kernel's observations, or a test's.
pub struct Feed {
    /// Waits for something to read, or to be woken, for so long at most. What it fails with ends the thread.
    pub wait: Box<dyn FnMut(Duration) -> io::Result<()>>,
    /// Reads what is there.
    pub read: ReadRpcs,
    /// Says what the meter shall tell of.
    pub choose: Box<dyn FnMut(Sampling)>,
}

/// Ends the thread, and the task behind its spans with it.
#[derive(Clone)]
pub struct Tracer {
    is_stopping: Arc<AtomicBool>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Tracer {
    /// Starts the thread; `feed` is called on it. `wake` ends its waiting.
    ///
    /// # Errors
    /// If the system refuses one more thread.
    pub fn start(
        feed: impl FnOnce() -> Feed + Send + 'static,
        wake: Arc<dyn Fn() + Send + Sync>,
        choice: TraceChoice,
        taps: Taps,
        spans: Option<Spans>,
    ) -> io::Result<(Self, Worker)> {
        let tracer = Self {
            is_stopping: Arc::default(),
            wake,
        };
        let is_stopping = Arc::clone(&tracer.is_stopping);
        let worker = Worker::spawn("observed", move || {
            hand_over(feed(), choice, &taps, spans.as_ref(), &is_stopping)
        })?;
        Ok((tracer, worker))
    }

    /// Tells the thread to end.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        (self.wake)();
    }
}

fn hand_over(
    mut feed: Feed,
    choice: TraceChoice,
    taps: &Taps,
    spans: Option<&Spans>,
    is_stopping: &AtomicBool,
) -> io::Result<()> {
    let mut was_tapped = false;
    (feed.choose)(choice.sampling(was_tapped));
    while !is_stopping.load(Ordering::Acquire) {
        let is_tapped = taps.prune();
        if is_tapped != was_tapped {
            (feed.choose)(choice.sampling(is_tapped));
            was_tapped = is_tapped;
        }
        let mut batch = vec![];
        let has_more = (feed.read)(&mut |rpc| batch.push(Arc::new(rpc)));
        taps.offer(&batch);
        if let Some(spans) = spans {
            spans.offer(&batch);
        }
        if !has_more {
            (feed.wait)(WAIT_MAX)?;
        }
    }
    // Nobody reads from here on: the meter need not write.
    (feed.choose)(Sampling {
        slow_ns: 0,
        ratio: 0,
        failed: 0,
        parent: 0,
        tap: 0,
        reserved: 0,
    });
    Ok(())
}

#[cfg(test)]
mod tests;
