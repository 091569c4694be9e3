//! What a thread of the proxy does with the connections it is given: HTTP/2 is served, anything else relayed.

use super::detect::{Speech, Spoken};
use super::relay::{relay, reset};
use super::{Accepted, Caller, Connect};
use crate::lifecycle::{DrainWatch, Phase};
use crate::observe::{Bypasses, ProxyBypass};
use crate::route::RouteTable;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A connection that was accepted on another thread.
#[derive(Debug)]
pub(super) struct Taken {
    /// Not blocking.
    pub(super) stream: StdStream,
    pub(super) requested: SocketAddr,
    pub(super) peer: SocketAddr,
    pub(super) caller: Caller,
}

/// Where a thread is given connections.
#[derive(Debug)]
pub struct Hand {
    taken: mpsc::UnboundedSender<(Taken, Live)>,
    live: Arc<AtomicUsize>,
}

/// What a thread takes connections from.
#[derive(Debug)]
pub struct Inlet(mpsc::UnboundedReceiver<(Taken, Live)>);

/// Counts a connection for as long as it lives.
#[derive(Debug)]
struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inlet {
    /// The next connection, without its count.
    #[cfg(test)]
    pub(super) async fn next(&mut self) -> Option<Taken> {
        self.0.recv().await.map(|(taken, _)| taken)
    }
}

impl Hand {
    /// A hand and where what it is given comes out.
    #[must_use]
    pub fn new() -> (Self, Inlet) {
        // Not bounded itself: the acceptor counts who is alive.
        let (taken, inlet) = mpsc::unbounded_channel();
        let live = Arc::default();
        (Self { taken, live }, Inlet(inlet))
    }

    /// Connections it has.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn give(&self, taken: Taken) {
        self.live.fetch_add(1, Ordering::Relaxed);
        // A thread that has ended drops it, which closes it.
        self.taken.send((taken, Live(Arc::clone(&self.live)))).ok();
    }
}

/// Serves a connection that speaks HTTP/2 to its end.
pub type ServeHttp2 = dyn Fn(Accepted) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The routes in force.
pub type CurrentRoutes = dyn Fn() -> Arc<RouteTable> + Send + Sync;

/// What serving takes; shared by all threads.
pub struct Serving<C> {
    /// The routes in force.
    pub routes: Box<CurrentRoutes>,
    /// How endpoints are reached.
    pub connect: C,
    /// What service ports spoke before.
    pub spoken: Spoken,
    /// Counts what is not served as HTTP/2.
    pub bypasses: Bypasses,
    /// Serves what is; `None`: it is relayed as bytes too.
    pub http2: Option<Box<ServeHttp2>>,
    /// A number that differs each time: it chooses endpoints.
    pub random: fn() -> u32,
}

impl<C: Connect> Serving<C> {
    /// Serves what comes until nobody gives any more, and then until the last connection has ended or is cut off.
    pub async fn run(self: Arc<Self>, mut inlet: Inlet, drain: DrainWatch) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                given = inlet.0.recv() => {
                    let Some((taken, live)) = given else { break };
                    tasks.spawn(Arc::clone(&self).serve_to_end(taken, live, drain.clone()));
                }
                // What a task panics with is in the log.
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn serve_to_end(self: Arc<Self>, taken: Taken, live: Live, mut drain: DrainWatch) {
        tokio::select! {
            served = self.serve(taken) => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection is relayed no more");
                }
            }
            () = drain.reached(Phase::Ending) => {}
        }
        drop(live);
    }

    async fn serve(&self, taken: Taken) -> io::Result<()> {
        let Taken {
            stream,
            requested,
            peer,
            caller,
        } = taken;
        let stream = TcpStream::from_std(stream)?;
        let speech = self.spoken.detect(&stream, requested).await?;
        let accepted = Accepted {
            stream,
            requested,
            peer,
            caller,
        };
        match (speech, &self.http2) {
            (Speech::Http2, Some(http2)) => {
                http2(accepted).await;
                Ok(())
            }
            (speech, _) => self.pass_on(accepted, speech).await,
        }
    }

    /// Relays bytes to an endpoint of the service; what is not HTTP/2 is refused where that is wanted.
    async fn pass_on(&self, mut accepted: Accepted, speech: Speech) -> io::Result<()> {
        let routes = (self.routes)();
        let Some(port) = routes.port(accepted.requested) else {
            reset(&mut accepted.stream);
            return Ok(());
        };
        if speech == Speech::Bytes {
            let service = &port.service;
            self.bypasses
                .note(&service.namespace, &service.name, ProxyBypass::NotHttp2);
            if port.is_closed_on_failure {
                reset(&mut accepted.stream);
                return Ok(());
            }
        }
        let endpoints = Arc::clone(&port.backend.endpoints);
        drop(routes);
        relay(accepted, &endpoints, &self.connect, (self.random)()).await
    }
}

#[cfg(test)]
mod tests {
    use super::{Hand, Serving, Taken};
    use crate::lifecycle::Drain;
    use crate::model::{BackendTraffic, ObjectName};
    use crate::observe::Bypasses;
    use crate::proxy::detect::Spoken;
    use crate::proxy::{Caller, PlainConnect};
    use crate::route::{Backend, BackendEndpoint, BackendSetBy, RouteTable, RoutedPort, RuleSet};
    use std::collections::{BTreeMap, HashMap};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    const REQUESTED: &str = "10.96.0.1:80";

    fn routes(endpoint: SocketAddr, is_closed_on_failure: bool) -> Arc<RouteTable> {
        let name = ObjectName::new("shop", "inventory");
        let endpoint = BackendEndpoint {
            address: endpoint,
            weight: 1,
            workload: None,
            pod: None,
            node: None,
            zone: None,
            is_terminating: false,
        };
        let backend = Backend {
            name: name.clone(),
            port: 80,
            is_ipv6: false,
            endpoints: [endpoint].into(),
            traffic: BackendTraffic::default(),
            set_by: BackendSetBy::default(),
            affinity_timeout_s: None,
        };
        let port = RoutedPort {
            service: name,
            port: 80,
            protocol: None,
            is_closed_on_failure,
            backend: Arc::new(backend),
            producer: RuleSet::default(),
            consumers: BTreeMap::new(),
        };
        let requested = REQUESTED.parse().unwrap();
        Arc::new(RouteTable::new(HashMap::from([(
            requested,
            Arc::new(port),
        )])))
    }

    /// Gives a connection to a thread that serves these routes; returns the caller's end, HTTP/2 that was seen, and counts.
    async fn give(
        routes: Arc<RouteTable>,
    ) -> (
        TcpStream,
        mpsc::UnboundedReceiver<SocketAddr>,
        Bypasses,
        Hand,
    ) {
        let (seen, http2) = mpsc::unbounded_channel();
        let bypasses = Bypasses::default();
        let serving = Serving {
            routes: Box::new(move || Arc::clone(&routes)),
            connect: PlainConnect,
            spoken: Spoken::default(),
            bypasses: bypasses.clone(),
            http2: Some(Box::new(move |accepted| {
                seen.send(accepted.requested).unwrap();
                Box::pin(async {})
            })),
            random: || 0,
        };
        let (hand, inlet) = Hand::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        let (stream, peer) = server.unwrap();
        hand.give(Taken {
            stream: stream.into_std().unwrap(),
            requested: REQUESTED.parse().unwrap(),
            peer,
            caller: Caller::default(),
        });
        let drain = Drain::new();
        let watch = drain.watch();
        tokio::spawn(async move {
            let _drain = drain;
            Arc::new(serving).run(inlet, watch).await;
        });
        (client.unwrap(), http2, bypasses, hand)
    }

    #[tokio::test]
    async fn a_preface_leads_to_the_proxy() {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let (mut client, mut http2, bypasses, _hand) = give(routes(nowhere, false)).await;
        client
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(http2.recv().await, Some(REQUESTED.parse().unwrap()));
        assert!(bypasses.series().is_empty());
    }

    #[tokio::test]
    async fn other_bytes_lead_to_an_endpoint_and_are_counted() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = routes(server.local_addr().unwrap(), false);
        let (mut client, _http2, bypasses, hand) = give(routes).await;
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let mut read = [0; 16];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"GET / HTTP/1.1\r\n");
        assert_eq!(hand.live(), 1);
        let series = bypasses.series();
        assert_eq!((series[0].reason, series[0].count), ("not_http2", 1));
        assert_eq!(
            (&*series[0].namespace, &*series[0].service),
            ("shop", "inventory")
        );
    }

    #[tokio::test]
    async fn other_bytes_are_refused_where_the_service_fails_closed() {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let (mut client, _http2, bypasses, _hand) = give(routes(nowhere, true)).await;
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let error = client.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(bypasses.series()[0].count, 1);
    }
}
