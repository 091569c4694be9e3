//! A caller's connection: takes its requests, moves them all in one task, and leaves when it is told to.

use super::accepted::Caller;
use super::exchange;
use super::wire::{ErrorCode, Server};
use super::{Accepted, Proxy};
use crate::lifecycle::{DrainWatch, Phase};
use crate::observe::{DestinationLabels, ProxyFigures, SessionCalls, SourceLabels};
use crate::route::RoutedPort;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How long a caller may take to send its preface.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Requests that were given up before they were looked at and are taken at once, so that they are counted.
const GIVEN_UP_MAX: usize = 256;

/// What all requests of a connection share.
pub(super) struct Context {
    /// The proxy.
    pub(super) proxy: Arc<Proxy>,
    /// Who calls.
    pub(super) caller: Caller,
    /// What the caller asked for.
    pub(super) requested: SocketAddr,
    /// Its gRPC calls under way.
    pub(super) open: Arc<SessionCalls>,
    /// The port as it was last seen: what is left when no table names it any more.
    last: Mutex<Option<Arc<RoutedPort>>>,
    leave: Notify,
}

impl Context {
    /// The port that the caller connected to, as the table in force has it. A port that is not routed any more is served as it
    /// was, and the caller is asked to leave.
    pub(super) fn port(&self) -> Option<Arc<RoutedPort>> {
        let current = self.proxy.port(self.requested);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match current {
            Some(port) => {
                // Only changes are written.
                if !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &port)) {
                    *last = Some(Arc::clone(&port));
                }
                Some(port)
            }
            None => {
                self.leave.notify_one();
                last.clone()
            }
        }
    }

    /// The labels of a call that has just begun.
    pub(super) fn labels(&self) -> (Arc<SourceLabels>, Arc<DestinationLabels>) {
        self.open.labels()
    }
}

/// What a session is told by something other than its connection.
enum Told {
    /// Take no new requests.
    Finish,
    /// Cut off what is left.
    End,
}

type Telling = Pin<Box<dyn Future<Output = Told> + Send>>;

/// Serves a connection until it is over.
pub(super) async fn run(proxy: Arc<Proxy>, accepted: Accepted, drain: DrainWatch) {
    let _counted = ProxyFigures::session(proxy.figures());
    let Accepted {
        stream,
        requested,
        caller,
    } = accepted;
    if stream.set_nodelay(true).is_err() {
        // The caller has left.
        return;
    }
    let accepting = Server::accept(stream, &proxy.settings().limits);
    let mut ending = drain.clone();
    let accepted = tokio::select! {
        accepted = timeout(HANDSHAKE_MAX, accepting) => accepted,
        () = ending.reached(Phase::Ending) => return,
    };
    drop(ending);
    let Ok(Ok(server)) = accepted else {
        return;
    };
    let port = proxy.port_of_new(requested);
    let open = proxy.open_calls().join(
        Arc::new(source_labels(&caller)),
        Arc::new(destination_labels(port.as_deref())),
    );
    let context = Arc::new(Context {
        open,
        last: Mutex::new(port),
        leave: Notify::new(),
        proxy,
        caller,
        requested,
    });
    let _known = context.proxy.sessions().join(&context);
    if context.proxy.port(requested).is_none() {
        // It ceased to be routed while the connection was on its way.
        context.leave.notify_one();
    }
    serve(context, server, drain).await;
}

async fn serve(context: Arc<Context>, mut server: Server, drain: DrainWatch) {
    let streams_max = context.proxy.settings().limits.streams_max;
    let mut under_way = FuturesUnordered::new();
    // Apart from them, since a place among them is as large as a request's.
    let mut telling = FuturesUnordered::<Telling>::new();
    telling.push(Box::pin(finish(Arc::clone(&context), drain.clone())));
    // Those that are open, and some that their caller has given up before they were looked at.
    let most = usize::try_from(streams_max).map_or(usize::MAX, |most| most + GIVEN_UP_MAX);
    poll_fn(|cx| {
        loop {
            let is_full = loop {
                if under_way.len() >= most {
                    break true;
                }
                match server.poll_incoming(cx) {
                    Poll::Ready(Some(incoming)) => {
                        under_way.push(exchange::run(Arc::clone(&context), incoming));
                    }
                    // What is still under way is dropped with it: cancelled.
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => break false,
                }
            };
            while let Poll::Ready(Some(())) = under_way.poll_next_unpin(cx) {}
            while let Poll::Ready(Some(told)) = telling.poll_next_unpin(cx) {
                match told {
                    Told::Finish => {
                        server.finish();
                        telling.push(Box::pin(end(drain.clone())));
                    }
                    Told::End => server.end(ErrorCode::NO_ERROR),
                }
            }
            if !is_full || under_way.len() >= most {
                // What all of them have sent is written at once.
                return server.poll_flush(cx);
            }
        }
    })
    .await;
}

/// Waits until there is a reason to take no new requests.
async fn finish(context: Arc<Context>, mut drain: DrainWatch) -> Told {
    let age = context.proxy.connection_age(context.requested);
    let aged = async {
        match age {
            Some(age) => sleep(age).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = drain.reached(Phase::Finishing) => {}
        () = context.leave.notified() => {}
        () = aged => {}
    }
    Told::Finish
}

async fn end(mut drain: DrainWatch) -> Told {
    drain.reached(Phase::Ending).await;
    Told::End
}

fn source_labels(caller: &Caller) -> SourceLabels {
    let workload = caller.workload.as_ref();
    SourceLabels {
        workload: workload.map_or_else(|| Arc::from("unknown"), |known| Arc::clone(&known.name)),
        namespace: workload.map_or_else(|| Arc::from(""), |known| Arc::clone(&known.namespace)),
    }
}

fn destination_labels(port: Option<&RoutedPort>) -> DestinationLabels {
    let nobody = || Arc::from("");
    DestinationLabels {
        service: port.map_or_else(nobody, |port| Arc::clone(&port.service.name)),
        namespace: port.map_or_else(nobody, |port| Arc::clone(&port.service.namespace)),
        workload: nobody(),
    }
}

/// The sessions of a proxy, so that they can be told when their port is not routed any more.
#[derive(Default)]
pub(super) struct Sessions {
    all: Mutex<Joined>,
}

#[derive(Default)]
struct Joined {
    last_key: u64,
    sessions: HashMap<u64, Weak<Context>>,
}

/// A session that is known, until it is dropped.
pub(super) struct Known {
    proxy: Arc<Proxy>,
    key: u64,
}

impl Sessions {
    fn join(&self, context: &Arc<Context>) -> Known {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.last_key += 1;
        let key = all.last_key;
        all.sessions.insert(key, Arc::downgrade(context));
        Known {
            key,
            proxy: Arc::clone(&context.proxy),
        }
    }

    /// Tells sessions whose port is not routed any more to leave.
    pub(super) fn leave_unless(&self, is_routed: impl Fn(SocketAddr) -> bool) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = all.sessions.values().filter_map(Weak::upgrade);
        let leaving: Vec<Arc<Context>> = sessions
            .filter(|session| !is_routed(session.requested))
            .collect();
        // The last reference to a session takes the lock.
        drop(all);
        for session in leaving {
            session.leave.notify_one();
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let all = &self.proxy.sessions().all;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.sessions.remove(&self.key);
    }
}
