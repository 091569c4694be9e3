//! L3: the one thread that takes configuration in, compiles it and carries it into the kernel.
//!
//! ```text
//! source ─► Mailbox (latest per file) ┐
//! admin  ─► questions (bounded) ──────┼─► this thread: Catalog ─► changes ─► kernel
//! clock  ─► once a second ────────────┘
//! ```
//!
//! The catalog and the kernel's tables have this one owner, so nothing is locked and nothing can be half applied.

mod explain;
mod inquiry;
mod reason;
mod routes;
mod target;
mod treatment;
mod view;

pub use inquiry::{Inquiries, NoAnswer, Overview};
pub use target::NoTarget;
pub use view::Plans;

use crate::api::{Problem, Problems, Program};
use crate::lifecycle::{Worker, become_urgent};
use crate::model;
use crate::observe::Progress;
use crate::plan::{Catalog, ServiceChange};
use crate::route::RouteTable;
use crate::source::{Batch, Mailbox};
use inquiry::Question;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How often the kernel's tables are tidied.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);
/// Messages that may wait: one wake-up, and a question of every admin connection.
const WAITING_MAX: usize = 1 + crate::api::READERS_MAX;
/// Problems of one batch that are logged; `/api/problems` has all of them.
const LOGGED_MAX: usize = 20;

/// What the thread is woken for.
#[derive(Debug)]
enum Message {
    /// The mailbox has something.
    Mail,
    /// Somebody asks.
    Question(Question),
    /// The end.
    Stop,
}

/// What the kernel made of some changes, or of a second passing (no changes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Writes to the kernel.
    pub writes: usize,
    /// What went wrong this time.
    pub failures: Vec<String>,
    /// Everything that is not in force as planned, from now or earlier.
    pub unapplied: Vec<String>,
}

/// Carries changes into the kernel; without changes it does what is due once a second.
pub type Sync<'a> = dyn FnMut(&[ServiceChange], Instant) -> SyncReport + 'a;

/// Puts routes into force in the proxy.
pub type PublishRoutes = dyn FnMut(Arc<RouteTable>) + Send;

/// Tells which programs are attached, when somebody asks.
pub type Programs = dyn Fn() -> Vec<Program> + Send;

/// The configuration and how far it has come.
pub struct Reconciler {
    catalog: Catalog,
    source: String,
    source_problems: Vec<model::Problem>,
    unapplied: Vec<String>,
    failures: Vec<String>,
    programs: Box<Programs>,
    progress: Progress,
    publish: Box<PublishRoutes>,
    /// What is wrong, of the generation it was last asked for.
    complaints: Option<Complaints>,
}

/// How much is wrong with the configuration, and the first of it.
#[derive(Clone, Debug)]
struct Complaints {
    errors: usize,
    warnings: usize,
    /// Errors first.
    first: Vec<Problem>,
}

impl Reconciler {
    /// Starts with an empty catalog. `source` names where the configuration comes from.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        source: String,
        programs: Box<Programs>,
        progress: Progress,
    ) -> Self {
        Self {
            catalog,
            source,
            source_problems: vec![],
            unapplied: vec![],
            failures: vec![],
            programs,
            progress,
            publish: Box::new(|_| {}),
            complaints: None,
        }
    }

    /// Hands the routes to `publish` whenever they change: new ones before the kernel sends connections to the proxy, old ones
    /// taken away after it does not any more.
    #[must_use]
    pub fn with_routes(mut self, publish: Box<PublishRoutes>) -> Self {
        self.publish = publish;
        self
    }

    /// Takes in everything there is at the start. It counts for no propagation time: no event announced it.
    pub fn load(&mut self, batch: Batch, sync: &mut Sync<'_>) {
        self.take_in(batch, sync);
    }

    /// Takes in files that changed, and notes how long it took from the event to the kernel.
    fn change(&mut self, batch: Batch, sync: &mut Sync<'_>, now: fn() -> Instant) {
        let seen = batch.seen;
        if self.take_in(batch, sync) > 0 {
            self.progress
                .propagated(now().saturating_duration_since(seen));
        }
    }

    /// Returns the number of Services that changed.
    fn take_in(&mut self, batch: Batch, sync: &mut Sync<'_>) -> usize {
        log_problems(&batch);
        let started = Instant::now();
        self.source_problems = batch.problems;
        self.complaints = None;
        let files = batch.files.len();
        let routes = Arc::clone(self.catalog.routes());
        let update = self.catalog.set_files(batch.files.into_iter().collect());
        if let Some(new) = &update.routes {
            (self.publish)(Arc::new(routes.with(new)));
        }
        let rejected = self.catalog.rejected();
        self.progress.seen(
            update.generation,
            u64::try_from(rejected).unwrap_or(u64::MAX),
        );

        let report = sync(&update.changes, started);
        if let Some(new) = update.routes {
            (self.publish)(new);
        }
        tracing::info!(
            generation = update.generation,
            files,
            services_changed = update.changes.len(),
            kernel_writes = report.writes,
            rejected,
            took_us = microseconds(started.elapsed()),
            "configuration taken in"
        );
        self.note(report);
        update.changes.len()
    }

    fn maintain(&mut self, sync: &mut Sync<'_>, now: Instant) {
        let report = sync(&[], now);
        self.note(report);
    }

    fn note(&mut self, report: SyncReport) {
        // What fails every second is said once, until something else happens.
        if report.failures != self.failures {
            for failure in &report.failures {
                tracing::warn!(%failure, "the kernel did not take a change");
            }
        }
        if !report.failures.is_empty() {
            self.progress.apply_failed();
        }
        self.failures = report.failures;
        self.unapplied = report.unapplied;
        if self.unapplied.is_empty() {
            self.progress.applied(self.catalog.generation());
        }
    }

    fn answer(&mut self, question: Question) {
        // Whoever asked may have given up; that is no loss.
        match question {
            Question::Overview(answer) => answer.send(self.overview()).is_ok(),
            Question::Plans(answer) => answer.send(Plans::of(&self.catalog)).is_ok(),
            Question::Problems(answer) => answer.send(self.problems(Problems::LISTED_MAX)).is_ok(),
        };
    }

    fn overview(&mut self) -> Overview {
        let Complaints {
            errors,
            warnings,
            first: problems,
        } = self.complaints();
        let figures = self.progress.figures();
        Overview {
            configuration: crate::api::Configuration {
                source: self.source.clone(),
                generation_seen: figures.generation_seen,
                generation_kernel: figures.generation_kernel,
                services: self.catalog.services().count(),
                endpoints: self.catalog.used().endpoints,
                rejected: self.catalog.rejected(),
                apply_error: self.unapplied.first().cloned(),
                errors,
                warnings,
                problems,
            },
            programs: (self.programs)(),
        }
    }

    /// Finding out takes time in proportion to the configuration: once for each that somebody asks about.
    fn complaints(&mut self) -> Complaints {
        if let Some(known) = &self.complaints {
            return known.clone();
        }
        let in_catalog = self.catalog.problems();
        let mut all: Vec<_> = self.source_problems.iter().chain(&in_catalog).collect();
        // Stable: within a severity the order of the files stays.
        all.sort_by_key(|problem| problem.severity);
        let is_error = |problem: &&&model::Problem| problem.severity == model::Severity::Error;
        let errors = all.iter().filter(is_error).count();
        let first = all.iter().copied().take(Problems::FIRST_FEW);
        let complaints = Complaints {
            errors,
            warnings: all.len() - errors,
            first: first.map(Problem::from).collect(),
        };
        self.complaints.insert(complaints).clone()
    }

    fn problems(&self, listed_max: usize) -> Problems {
        let in_catalog = self.catalog.problems();
        let all = self.source_problems.iter().chain(&in_catalog);
        Problems {
            total: all.clone().count(),
            problems: all.take(listed_max).map(Problem::from).collect(),
        }
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn log_problems(batch: &Batch) {
    let in_files = batch.files.values().flatten();
    let problems = in_files.flat_map(|file| &file.problems);
    for problem in problems.chain(&batch.problems).take(LOGGED_MAX) {
        tracing::warn!(%problem, severity = ?problem.severity, "a problem in the configuration");
    }
}

/// The way to the reconcile thread.
#[derive(Clone, Debug)]
pub struct Inbox {
    messages: SyncSender<Message>,
    mailbox: Arc<Mailbox>,
}

impl Inbox {
    /// Makes the way and the thread's end of it.
    #[must_use]
    pub fn new() -> (Self, Outlet) {
        let (messages, outlet) = sync_channel(WAITING_MAX);
        let mailbox = Arc::new(Mailbox::default());
        let inbox = Self {
            messages,
            mailbox: Arc::clone(&mailbox),
        };
        let outlet = Outlet {
            messages: outlet,
            mailbox,
        };
        (inbox, outlet)
    }

    /// Hands files over; several batches that wait become one.
    pub fn put(&self, batch: Batch) {
        self.mailbox.put(batch);
        // No room for the wake-up means that the thread has others to wake for, and it looks each time; a
        // closed channel means that it is gone.
        self.messages.try_send(Message::Mail).ok();
    }

    /// Asks what is in force.
    #[must_use]
    pub fn inquiries(&self) -> Inquiries {
        Inquiries {
            inbox: self.messages.clone(),
        }
    }

    /// Tells the thread to end.
    pub fn stop(&self) {
        // An error means that it has ended already.
        self.messages.send(Message::Stop).ok();
    }
}

/// The thread's end of an [`Inbox`].
#[derive(Debug)]
pub struct Outlet {
    messages: Receiver<Message>,
    mailbox: Arc<Mailbox>,
}

impl Outlet {
    /// Takes the first batch, which a source gives before it returns from its start.
    #[must_use]
    pub fn first_batch(&self) -> Option<Batch> {
        self.mailbox.try_take()
    }
}

/// Starts the thread. `sync` is made on it, because it owns the kernel's tables.
///
/// # Errors
/// If the system refuses one more thread.
pub fn start<S>(
    mut reconciler: Reconciler,
    outlet: Outlet,
    mut sync: S,
    now: fn() -> Instant,
) -> io::Result<Worker>
where
    S: FnMut(&[ServiceChange], Instant) -> SyncReport + Send + 'static,
{
    Worker::spawn("reconcile", move || {
        if let Err(error) = become_urgent() {
            tracing::info!(%error, "no CAP_SYS_NICE: on a busy machine changes wait for a time slice");
        }
        run(&mut reconciler, &outlet, &mut sync, now);
        Ok::<(), Infallible>(())
    })
}

fn run(reconciler: &mut Reconciler, outlet: &Outlet, sync: &mut Sync<'_>, now: fn() -> Instant) {
    let mut maintained = now();
    loop {
        let since = now().saturating_duration_since(maintained);
        let message = outlet
            .messages
            .recv_timeout(MAINTAIN_EVERY.saturating_sub(since));
        // Files go before everything else that waits.
        if let Some(batch) = outlet.mailbox.try_take() {
            reconciler.change(batch, sync, now);
        }
        match message {
            Ok(Message::Question(question)) => reconciler.answer(question),
            Ok(Message::Mail) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = now();
        if now.saturating_duration_since(maintained) >= MAINTAIN_EVERY {
            reconciler.maintain(sync, now);
            maintained = now;
        }
    }
}

#[cfg(test)]
mod tests;
