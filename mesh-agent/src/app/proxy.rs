//! Starts what takes routed connections: the thread that listens in callers' namespaces, the one that makes sockets there, and
//! those that serve.

use super::AppError;
use super::pulse::Pulse;
use crate::kernel::{
    KernelError, ListenerChange, Listeners, MakeUpstream, Origins, ProxyParts, UpstreamOrder, Waker,
};
use crate::lifecycle::{Drain, DrainWatch, Worker, WorkerError};
use crate::model::ObjectName;
use crate::observe::{Bypasses, Live, LiveSource, SourceLabels};
use crate::proxy::{
    Acceptor, Found, Hand, InNamespace, Inlet, Listening, Origin, Proxy, ProxySettings, Serving,
    Shared, SocketWanted, Spoken,
};
use crate::route::RouteTable;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How often namespaces are looked for; those that ask for a routed service are told of at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time for connections to end once the agent is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Calls that may wait to be counted: what two CPUs can end in the second before they are taken over more often; about 16 MiB.
const OUTCOMES_MAX: usize = 32_768;

/// The routes in force, and who is to be told of others.
#[derive(Clone, Debug)]
pub(super) struct RoutesInForce {
    shared: Arc<Shared>,
    changed: watch::Sender<()>,
}

impl RoutesInForce {
    /// Starts without routes.
    pub(super) fn new() -> Self {
        Self {
            shared: Shared::new(OUTCOMES_MAX),
            changed: watch::Sender::new(()),
        }
    }

    /// What all threads of the proxy share.
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts routes into force.
    pub(super) fn set(&self, routes: Arc<RouteTable>) {
        self.shared.follow(routes);
        self.changed.send_replace(());
    }
}

/// Everything that takes routed connections.
pub(super) struct ProxyThreads {
    /// What it did not route.
    pub(super) bypasses: Bypasses,
    /// What it is in the middle of.
    pub(super) live: LiveSource,
    stopping: Arc<AtomicBool>,
    waker: Waker,
    drain: Drain,
    listeners: Worker,
    sockets: Worker,
    serving: Vec<Worker>,
}

impl ProxyThreads {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system refuses one.
    pub(super) fn start(
        parts: ProxyParts,
        routes: &RoutesInForce,
        threads: usize,
        settings: ProxySettings,
    ) -> Result<Self, AppError> {
        let ProxyParts {
            listeners,
            origins,
            upstream,
            make_upstream,
            callers,
            heartbeat,
        } = parts;
        let threads = threads.max(1);
        let bypasses = Bypasses::default();
        let shared = Arc::clone(&routes.shared);
        let live = LiveSource::new(move || Live {
            destinations: shared.destinations.states(Instant::now()),
            callers: callers.list(),
        });
        let connect = InNamespace::new(Arc::new(move |wanted, reply| {
            order(&make_upstream, wanted, reply);
        }));
        let spoken = Arc::<Spoken>::default();
        let (changes, told) = mpsc::unbounded_channel();
        let (hands, inlets): (Vec<Hand>, Vec<Inlet>) = (0..threads).map(|_| Hand::new()).unzip();
        // Before there is a listener.
        let pulse = Pulse::new(heartbeat, threads);
        let mut acceptor = Some(Acceptor::new(told, origin(origins), hands));
        let drain = Drain::new();
        let mut workers = Vec::new();
        for (number, inlet) in inlets.into_iter().enumerate() {
            let shared = Arc::clone(&routes.shared);
            let thread = ProxyThread {
                serving: Serving {
                    proxy: Proxy::new(connect.clone(), shared, settings),
                    connect: connect.clone(),
                    spoken: Arc::clone(&spoken),
                    bypasses: bypasses.clone(),
                },
                inlet,
                acceptor: acceptor.take(),
                changed: routes.changed.subscribe(),
                drain: drain.watch(),
                pulse: Arc::clone(&pulse),
                number,
            };
            let worker = Worker::spawn("proxy", move || thread.run());
            workers.push(worker.map_err(AppError::Thread)?);
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let waker = listeners.waker();
        let is_stopping = Arc::clone(&stopping);
        let listening = Worker::spawn("listeners", move || {
            listen(listeners, &changes, &is_stopping)
        });
        let sockets = Worker::spawn("sockets", move || {
            upstream.serve();
            Ok::<(), Infallible>(())
        });
        Ok(Self {
            bypasses,
            live,
            stopping,
            waker,
            drain,
            listeners: listening.map_err(AppError::Thread)?,
            sockets: sockets.map_err(AppError::Thread)?,
            serving: workers,
        })
    }

    /// Waits until one of the threads has ended, and names it.
    pub(super) async fn ended(&mut self) -> &'static str {
        let serving = async {
            // They end together: only when the first, which accepts, has, or by a defect.
            for worker in &mut self.serving {
                worker.ended().await;
            }
        };
        tokio::select! {
            () = self.listeners.ended() => self.listeners.name(),
            () = self.sockets.ended() => self.sockets.name(),
            () = serving => "proxy",
        }
    }

    /// Has no more connections come, and waits for the end of those that are there.
    ///
    /// # Errors
    /// If a thread does not end, or had failed.
    pub(super) async fn stop(mut self, limit: Duration) -> Result<(), WorkerError> {
        self.stopping.store(true, Ordering::Release);
        self.waker.wake();
        if timeout(limit, self.listeners.ended()).await.is_err() {
            tracing::warn!(
                "the proxy still listens: callers that are asked to leave may come back"
            );
        }
        if !self.drain.finish(GRACE).await {
            tracing::warn!("connections that were routed did not end in time and are cut off");
        }
        let mut ended = finish(self.listeners, limit).await;
        for worker in self.serving {
            ended = ended.and(finish(worker, limit).await);
        }
        // It ends once nobody can order sockets.
        ended.and(finish(self.sockets, limit).await)
    }
}

/// Waits for a thread that was told to stop.
async fn finish(mut worker: Worker, limit: Duration) -> Result<(), WorkerError> {
    let name = worker.name();
    timeout(limit, worker.ended())
        .await
        .map_err(|_| WorkerError::Stuck { name })?;
    worker.join()
}

/// What one thread of the proxy works with.
struct ProxyThread {
    serving: Serving<InNamespace>,
    inlet: Inlet,
    /// One of the threads accepts for all.
    acceptor: Option<Acceptor>,
    changed: watch::Receiver<()>,
    drain: DrainWatch,
    pulse: Arc<Pulse>,
    /// Which of the threads it is.
    number: usize,
}

impl ProxyThread {
    fn run(self) -> io::Result<()> {
        let Self {
            serving,
            inlet,
            acceptor,
            mut changed,
            drain,
            pulse,
            number,
        } = self;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let accepting = async {
                if let Some(acceptor) = acceptor {
                    acceptor.run().await;
                }
            };
            let proxy = Arc::clone(&serving.proxy);
            let following = async move {
                // An error says that there will be no other routes.
                while changed.changed().await.is_ok() {
                    proxy.routes_changed();
                }
            };
            let serving = async { tokio::join!(accepting, serving.run(inlet, drain)) };
            tokio::select! {
                _ = serving => {}
                () = async { following.await; std::future::pending().await } => {}
                () = pulse.keep(number) => {}
            }
        });
        Ok(())
    }
}

fn listen(
    mut listeners: Listeners,
    changes: &mpsc::UnboundedSender<Listening>,
    is_stopping: &AtomicBool,
) -> Result<(), KernelError> {
    let mut tell = |change| {
        let change = match change {
            ListenerChange::Opened {
                netns_cookie,
                address,
                listener,
            } => Listening::Opened {
                netns: netns_cookie,
                address,
                listener,
            },
            ListenerChange::Closed { netns_cookie } => Listening::Closed(netns_cookie),
        };
        // Nobody listens only once the agent is about to end.
        changes.send(change).ok();
    };
    let mut looked: Option<Instant> = None;
    while !is_stopping.load(Ordering::Acquire) {
        let now = Instant::now();
        let is_due = looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_EVERY);
        let mut seen = listeners.answer(now, &mut tell);
        if is_due {
            looked = Some(now);
            seen = seen.and(listeners.pass(now, &mut tell));
        }
        if let Err(error) = seen {
            tracing::warn!(%error, "the proxy does not listen in all network namespaces");
        }
        listeners.wait(LOOK_EVERY)?;
    }
    listeners.close_all(&mut tell)
}

fn order(
    make: &MakeUpstream,
    wanted: SocketWanted,
    reply: oneshot::Sender<io::Result<std::net::TcpStream>>,
) {
    make.order(UpstreamOrder {
        netns_cookie: wanted.netns,
        is_ipv6: wanted.is_ipv6,
        source: wanted.source,
        // Whoever ordered it may have given up.
        reply: Box::new(move |made| drop(reply.send(made))),
    });
}

fn origin(mut origins: Origins) -> Origin {
    Box::new(move |netns, client| {
        let captured = origins.take(netns, client, Instant::now());
        let captured = captured.unwrap_or_else(|error| {
            tracing::warn!(%error, %client, netns_cookie = netns, "nobody knows where a connection was going: it is reset");
            None
        })?;
        let SourceLabels {
            workload,
            namespace,
        } = captured.source;
        let is_known = captured.is_source_known;
        Some(Found {
            requested: captured.requested,
            namespace: Some(Arc::clone(&namespace)).filter(|name| !name.is_empty()),
            workload: is_known.then_some(ObjectName {
                namespace,
                name: workload,
            }),
        })
    })
}
