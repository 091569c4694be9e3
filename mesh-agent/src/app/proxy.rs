//! Starts what takes routed connections: the thread that listens in callers' namespaces, the one that makes sockets there, and
//! those that serve.

use super::AppError;
use crate::kernel::{
    KernelError, ListenerChange, Listeners, MakeUpstream, Origins, UpstreamOrder, UpstreamSockets,
    Waker,
};
use crate::lifecycle::{Drain, DrainWatch, Worker, WorkerError};
use crate::model::ObjectName;
use crate::observe::{Bypasses, SourceLabels};
use crate::proxy::{
    Acceptor, Found, Hand, InNamespace, Inlet, Listening, Origin, Serving, SocketWanted, Spoken,
};
use crate::route::RouteTable;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How often namespaces are looked for; those that ask for a routed service are told of at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Time for connections to end once the agent is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The routes in force: written by the reconciler, read once for a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct RoutesInForce(Arc<RwLock<Arc<RouteTable>>>);

impl RoutesInForce {
    /// Puts routes into force.
    pub(super) fn set(&self, routes: Arc<RouteTable>) {
        // Nothing is half done where a writer panics: it stores one word.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = routes;
    }

    fn get(&self) -> Arc<RouteTable> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The parts of the kernel room that the proxy works with.
pub(super) struct ProxyParts {
    pub(super) listeners: Listeners,
    pub(super) origins: Origins,
    pub(super) upstream: UpstreamSockets,
    pub(super) make_upstream: MakeUpstream,
}

/// Everything that takes routed connections.
pub(super) struct ProxyThreads {
    /// What it did not route.
    pub(super) bypasses: Bypasses,
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
        routes: RoutesInForce,
        threads: usize,
    ) -> Result<Self, AppError> {
        let ProxyParts {
            listeners,
            origins,
            upstream,
            make_upstream,
        } = parts;
        let bypasses = Bypasses::default();
        let serving = Arc::new(Serving {
            routes: Box::new(move || routes.get()),
            connect: InNamespace::new(Arc::new(move |wanted, reply| {
                order(&make_upstream, wanted, reply);
            })),
            spoken: Spoken::default(),
            bypasses: bypasses.clone(),
            http2: None,
            random,
        });
        let (changes, told) = mpsc::unbounded_channel();
        let (hands, inlets): (Vec<Hand>, Vec<Inlet>) =
            (0..threads.max(1)).map(|_| Hand::new()).unzip();
        let mut acceptor = Some(Acceptor::new(told, origin(origins), hands));
        let drain = Drain::new();
        let mut workers = Vec::new();
        for inlet in inlets {
            let (serving, acceptor, drain) = (Arc::clone(&serving), acceptor.take(), drain.watch());
            let worker = Worker::spawn("proxy", move || serve(serving, inlet, acceptor, drain));
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
    pub(super) async fn stop(self, limit: Duration) -> Result<(), WorkerError> {
        self.stopping.store(true, Ordering::Release);
        self.waker.wake();
        finish(self.listeners, limit).await?;
        if !self.drain.finish(GRACE).await {
            tracing::warn!("connections that were routed did not end in time and are cut off");
        }
        for worker in self.serving {
            finish(worker, limit).await?;
        }
        // It ends once nobody can order sockets.
        finish(self.sockets, limit).await
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

fn serve(
    serving: Arc<Serving<InNamespace>>,
    inlet: Inlet,
    acceptor: Option<Acceptor>,
    drain: DrainWatch,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let accepting = async {
            if let Some(acceptor) = acceptor {
                acceptor.run().await;
            }
        };
        tokio::join!(accepting, serving.run(inlet, drain));
    });
    Ok(())
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
                listener,
            } => Listening::Opened(netns_cookie, listener),
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

/// A number that differs each time.
fn random() -> u32 {
    let number = RandomState::new().build_hasher().finish();
    u32::try_from(number >> 32).unwrap_or_default()
}
