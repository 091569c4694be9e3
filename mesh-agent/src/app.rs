//! L3: puts the rooms together; the only place that starts long-lived tasks and threads.
//!
//! | thread | owns | ends when |
//! |---|---|---|
//! | main (tokio, one thread) | admin server, signals | told to stop, or another thread ended |
//! | `config-watch` | the watched directory | the source is dropped |
//! | `reconcile` | catalog and kernel tables | told to stop |
//! | `observe` | kernel measurements | told to stop |
//! | `observed` | single RPCs the meter tells of | told to stop |
//! | `listeners` | the proxy's listeners in callers' namespaces | told to stop |
//! | `sockets` | nothing; makes sockets in callers' namespaces | nobody orders any |
//! | `proxy` (several; tokio, one thread each) | routed connections | told to stop, and they have ended |
//!
//! With `--otlp` a task on main delivers spans; it ends when `observed` has ended and its queue is empty.

mod error;
mod log;
mod proxy;
mod pulse;
mod settings;
mod traces;

pub use crate::tracer::{AccessLogSettings, TraceChoice};
pub use error::AppError;
pub use log::{LogFormat, start_log};
pub use settings::{Settings, TraceSettings};

use crate::admin::{AdminServer, AgentInfo, Readers};
use crate::api::Program;
use crate::kernel::{self, Finding, Observer, Opened, Syncer};
use crate::lifecycle::{Readiness, Step, StopSignals, Worker, WorkerError};
use crate::observe::{Progress, Snapshot};
use crate::plan::{Capacity, Catalog, ServiceChange};
use crate::proxy::{ProxySettings, Shared};
use crate::reconcile::{self, Inbox, Outlet, Reconciler, SyncReport};
use crate::sampler::{Measurements, Sampler};
use crate::source::file::FileSource;
use crate::tracer::{CallSource, Moment, RoutedCalls};
use proxy::{ProxyThreads, RoutesInForce};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use traces::Traces;

/// Time for each thread to end once it was told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the agent until it is told to stop.
///
/// # Errors
/// If it cannot start, or one of its threads ends early. The mesh stays in force as far as it was.
pub fn run(settings: &Settings) -> Result<(), AppError> {
    kernel::bound_heap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AppError::Runtime)?;
    runtime.block_on(async {
        let mut signals = StopSignals::install().map_err(AppError::Runtime)?;
        let agent = Agent::start(settings).await?;
        // Readers of manifests and of kernel objects are most of what has run.
        kernel::release_code();
        agent.run(&mut signals).await
    })
}

/// Everything that runs.
struct Agent {
    readiness: Readiness,
    pins: PathBuf,
    source: FileSource,
    source_ended: oneshot::Receiver<()>,
    inbox: Inbox,
    reconcile: Worker,
    sampler: Sampler,
    observe: Worker,
    traces: Traces,
    proxy: ProxyThreads,
    server: AdminServer,
    readers: Readers,
}

impl Agent {
    async fn start(settings: &Settings) -> Result<Self, AppError> {
        let started = Instant::now();
        let degraded = preflight(settings)?;
        let server = AdminServer::bind(settings.admin, settings.admin_remote).await?;
        let readiness = Readiness::default();
        let progress = Progress::default();

        // Before anything is loaded: a wrong directory should leave no trace in the kernel.
        let (inbox, outlet) = Inbox::new();
        let (source, source_ended) = start_source(&settings.config, &inbox)?;

        let Opened {
            mut syncer,
            observer,
            observations,
            proxy,
        } = kernel::open(&settings.kernel)?;
        readiness.done(Step::KernelLoaded);
        let routes = RoutesInForce::new();
        let in_force = routes.clone();
        let mut reconciler = reconciler(settings, progress.clone())
            .with_routes(Box::new(move |routes| in_force.set(routes)));
        load(&mut reconciler, &outlet, &mut syncer);
        readiness.done(Step::FirstPlanApplied);
        syncer.attach_and_pin()?;
        readiness.done(Step::AttachedAndPinned);

        let sync = move |changes: &[ServiceChange], now| synchronize(&mut syncer, changes, now);
        let reconcile =
            reconcile::start(reconciler, outlet, sync, Instant::now).map_err(AppError::Thread)?;
        let (traces, sinks) = Traces::start(settings, observations)?;
        let proxy_settings = ProxySettings {
            recording: sinks.choice.recording(),
            ..ProxySettings::default()
        };
        let calls = RoutedCalls::new(call_source(Arc::clone(routes.shared())), sinks);
        let (sampler, observe) =
            Sampler::start(|| measurements(observer, calls)).map_err(AppError::Thread)?;
        let proxy = ProxyThreads::start(proxy, &routes, settings.proxy_threads, proxy_settings)?;
        let pins = settings.kernel.bpffs.clone();
        let readers = Readers {
            info: info(settings, degraded, started),
            readiness: readiness.clone(),
            progress,
            sampler: sampler.clone(),
            inquiries: inbox.inquiries(),
            taps: traces.taps.clone(),
            losses: traces.losses.clone(),
            bypasses: proxy.bypasses.clone(),
            live: proxy.live.clone(),
            proxy: Arc::clone(&routes.shared().figures),
        };
        let address = server.local_address().map_err(AppError::Runtime)?;
        announce(&settings.kernel, address, started.elapsed());
        Ok(Self {
            readiness,
            pins,
            source,
            source_ended,
            inbox,
            reconcile,
            sampler,
            observe,
            traces,
            proxy,
            server,
            readers,
        })
    }

    /// Serves until a signal comes or a thread ends; then stops everything in order.
    async fn run(mut self, signals: &mut StopSignals) -> Result<(), AppError> {
        let (stop, stopping) = watch::channel(false);
        let mut server = Box::pin(self.server.serve(self.readers, stopping));
        let end = tokio::select! {
            signal = signals.next() => Ok(signal),
            () = self.reconcile.ended() => Err(self.reconcile.name()),
            () = self.observe.ended() => Err(self.observe.name()),
            name = self.traces.ended() => Err(name),
            name = self.proxy.ended() => Err(name),
            _ = &mut self.source_ended => Err("config-watch"),
            () = &mut server => Err("admin"),
        };
        self.readiness.stopping();
        match end {
            Ok(signal) => tracing::info!(signal, "stopping"),
            Err(thread) => tracing::error!(thread, "a thread ended early; stopping"),
        }
        drop(self.source);
        // Nobody listens any more only if the server is gone, which is what is wanted.
        stop.send(true).ok();
        if !matches!(end, Err("admin")) && timeout(STOP_TIMEOUT, server).await.is_err() {
            tracing::warn!("the admin server did not end in time");
        }
        let proxied = self.proxy.stop(STOP_TIMEOUT).await;
        self.inbox.stop();
        let reconciled = finish(self.reconcile).await;
        self.sampler.stop();
        let measured = finish(self.observe).await;
        let traced = self.traces.stop(STOP_TIMEOUT).await;
        tracing::info!(
            pins = %self.pins.display(),
            "the agent ends; programs and tables stay pinned and in force, without updates; \
             `mesh-agent unload` removes them"
        );
        reconciled.and(measured).and(traced).and(proxied)?;
        end.map(|_| ())
            .map_err(|name| AppError::Worker(WorkerError::Ended { name }))
    }
}

/// Waits for a thread that was told to stop.
async fn finish(mut worker: Worker) -> Result<(), WorkerError> {
    let name = worker.name();
    timeout(STOP_TIMEOUT, worker.ended())
        .await
        .map_err(|_| WorkerError::Stuck { name })?;
    worker.join()
}

/// Tries what the kernel can do; returns what it cannot and the mesh can do without.
fn preflight(settings: &Settings) -> Result<Vec<String>, AppError> {
    let findings = kernel::check(&settings.kernel, &settings.injections);
    let (failed, rest): (Vec<Finding>, Vec<Finding>) = findings
        .into_iter()
        .partition(|finding| finding.status == kernel::Status::Failed);
    if !failed.is_empty() {
        return Err(AppError::unfit(&failed));
    }
    let warnings = rest
        .into_iter()
        .filter(|finding| finding.status == kernel::Status::Warning);
    Ok(warnings
        .map(|finding| {
            let Finding {
                probe,
                evidence,
                effect,
                remedy,
                ..
            } = finding;
            tracing::warn!(probe, %evidence, effect, %remedy, "this machine gives less than it could");
            format!("{probe}: {effect}")
        })
        .collect())
}

fn start_source(
    directory: &Path,
    inbox: &Inbox,
) -> Result<(FileSource, oneshot::Receiver<()>), AppError> {
    let (alive, ended) = oneshot::channel::<()>();
    let inbox = inbox.clone();
    let source = FileSource::start(directory, move |batch| {
        // Goes with the closure when the watcher's thread ends, for whatever reason.
        let _ = &alive;
        inbox.put(batch);
    })?;
    Ok((source, ended))
}

fn reconciler(settings: &Settings, progress: Progress) -> Reconciler {
    let kernel::Settings {
        cgroup,
        bpffs,
        capacities,
        ..
    } = &settings.kernel;
    let catalog = Catalog::new(settings.node.clone()).with_capacity(Capacity {
        services: capacities.services as usize,
        endpoints: capacities.endpoints as usize,
    });
    let (bpffs, cgroup) = (bpffs.clone(), cgroup.display().to_string());
    let programs = move || {
        let programs = kernel::attached_programs(&bpffs).into_iter();
        programs
            .map(|program| Program {
                name: program.name.to_owned(),
                id: program.id,
                verified_instructions: program.verified_instructions,
                attached_to: program.is_attached.then(|| cgroup.clone()),
            })
            .collect()
    };
    Reconciler::new(
        catalog,
        settings.config.display().to_string(),
        Box::new(programs),
        progress,
    )
}

fn load(reconciler: &mut Reconciler, outlet: &Outlet, syncer: &mut Syncer) {
    if let Some(batch) = outlet.first_batch() {
        reconciler.load(batch, &mut |changes, now| synchronize(syncer, changes, now));
        // Parsing and compiling everything at once leaves as much behind again.
        kernel::trim_heap();
    }
}

/// Carries changes into the kernel; without changes does what is due once a second.
fn synchronize(syncer: &mut Syncer, changes: &[ServiceChange], now: Instant) -> SyncReport {
    let report = if changes.is_empty() {
        syncer.maintain(now)
    } else {
        syncer.apply(changes, now)
    };
    let describe = |problem: kernel::ApplyProblem| match problem.service {
        Some(service) => format!("service {service}: {}", problem.message),
        None => problem.message,
    };
    SyncReport {
        writes: report.writes,
        failures: report.problems.into_iter().map(describe).collect(),
        unapplied: syncer.problems().into_iter().map(describe).collect(),
    }
}

fn call_source(shared: Arc<Shared>) -> CallSource {
    CallSource {
        outcomes: Arc::clone(&shared.outcomes),
        open: Arc::clone(&shared.open),
        upstream: Box::new(move || shared.destinations.upstream()),
    }
}

fn measurements(observer: Observer, calls: RoutedCalls) -> Measurements {
    let observer = Rc::new(RefCell::new(observer));
    let (lister, keeper) = (Rc::clone(&observer), Rc::clone(&observer));
    let calls = Rc::new(RefCell::new(calls));
    let ended = Rc::clone(&calls);
    Measurements {
        snapshot: Box::new(move |now| Snapshot {
            routed: calls.borrow_mut().figures(),
            ..observer.borrow_mut().snapshot(now)
        }),
        drain: Box::new(move |now| {
            let calendar = SystemTime::now();
            ended.borrow_mut().drain(Moment { now, calendar })
        }),
        connections: Box::new(move |now| lister.borrow_mut().connections(now)),
        maintain: Box::new(move |now| keeper.borrow_mut().maintain(now)),
        now: Instant::now,
    }
}

fn announce(kernel: &kernel::Settings, admin: SocketAddr, took: Duration) {
    tracing::info!(
        %admin,
        cgroup = %kernel.cgroup.display(),
        pins = %kernel.bpffs.display(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "the mesh is in force"
    );
}

fn info(settings: &Settings, degraded: Vec<String>, started: Instant) -> AgentInfo {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    AgentInfo {
        version: env!("CARGO_PKG_VERSION"),
        started,
        start_time_seconds: since_1970.as_secs_f64(),
        node: settings.node.name.to_string(),
        cgroup: settings.kernel.cgroup.display().to_string(),
        pins: settings.kernel.bpffs.display().to_string(),
        degraded,
    }
}
