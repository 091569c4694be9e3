//! Starts what deals with single RPCs: the thread that waits for those of the meter, and the task that delivers spans.

use super::{AppError, Settings, TraceSettings};
use crate::export::otlp::{Collector, EXPORT_TIMEOUT};
use crate::kernel::{KernelError, Observations};
use crate::lifecycle::{Worker, WorkerError};
use crate::observe::Losses;
use crate::tracer::{AccessLog, CallSinks, Feed, Spans, Taps, Tracer, connect};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Everything that deals with single RPCs.
pub(super) struct Traces {
    pub(super) taps: Taps,
    pub(super) losses: Losses,
    tracer: Tracer,
    thread: Worker,
    delivery: Option<JoinHandle<()>>,
}

impl Traces {
    /// Starts thread and task. Calls of the proxy go where the second value says.
    ///
    /// # Errors
    /// If the system refuses one more thread, or there is no exporter.
    pub(super) fn start(
        settings: &Settings,
        observations: Observations,
    ) -> Result<(Self, CallSinks), AppError> {
        let losses = Losses::default();
        let waker = observations.waker();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || waker.wake());
        let taps = Taps::new(Arc::clone(&wake), losses.clone());
        let (spans, delivery) = match &settings.traces {
            Some(traces) => {
                let (spans, delivery) = deliver(traces, &settings.node.name, losses.clone())?;
                (Some(spans), Some(delivery))
            }
            None => (None, None),
        };
        let choice = settings
            .traces
            .as_ref()
            .map(|traces| traces.choice)
            .unwrap_or_default();
        let access_log = settings
            .access_log
            .clone()
            .map(|settings| AccessLog::new(settings, fastrand::f64, losses.clone()));
        let sinks = CallSinks {
            choice,
            taps: taps.clone(),
            spans: spans.clone(),
            access_log,
        };
        let (tracer, thread) =
            Tracer::start(|| feed(observations), wake, choice, taps.clone(), spans)
                .map_err(AppError::Thread)?;
        let traces = Self {
            taps,
            losses,
            tracer,
            thread,
            delivery,
        };
        Ok((traces, sinks))
    }

    /// Waits until the thread or the task has ended, and names it.
    pub(super) async fn ended(&mut self) -> &'static str {
        let Some(delivery) = &mut self.delivery else {
            self.thread.ended().await;
            return self.thread.name();
        };
        tokio::select! {
            () = self.thread.ended() => self.thread.name(),
            _ = delivery => {
                self.delivery = None;
                "otlp"
            }
        }
    }

    /// Ends the thread, then delivers what waits, within `limit` each.
    ///
    /// # Errors
    /// If the thread failed or does not end.
    pub(super) async fn stop(mut self, limit: Duration) -> Result<(), WorkerError> {
        self.tracer.stop();
        let name = self.thread.name();
        timeout(limit, self.thread.ended())
            .await
            .map_err(|_| WorkerError::Stuck { name })?;
        // With this thread and `observe`, which ended before, the queue has lost its front ends.
        if let Some(delivery) = self.delivery
            && timeout(limit, delivery).await.is_err()
        {
            tracing::warn!("the last spans were not delivered in time");
        }
        self.thread.join()
    }
}

fn deliver(
    traces: &TraceSettings,
    node: &str,
    losses: Losses,
) -> Result<(Spans, JoinHandle<()>), AppError> {
    let channel = connect(traces.collector.clone(), EXPORT_TIMEOUT);
    let collector =
        Collector::new(channel, node.to_owned()).map_err(|error| AppError::Setting {
            flag: "OTEL_EXPORTER_OTLP_* in the environment",
            reason: error.to_string(),
        })?;
    let (spans, queue) = Spans::new(losses);
    Ok((spans, tokio::spawn(queue.deliver(collector))))
}

fn feed(observations: Observations) -> Feed {
    let observations = Rc::new(RefCell::new(observations));
    let (reader, writer) = (Rc::clone(&observations), Rc::clone(&observations));
    Feed {
        wait: Box::new(move |limit| observations.borrow().wait(limit).map_err(io::Error::other)),
        read: Box::new(move |each| reader.borrow_mut().read(each)),
        choose: Box::new(move |sampling| tell_unwritten(writer.borrow_mut().choose(sampling))),
    }
}

fn tell_unwritten(written: Result<(), KernelError>) {
    if let Err(error) = written {
        tracing::warn!(%error, "the meter goes on choosing the RPCs that it chose before");
    }
}
