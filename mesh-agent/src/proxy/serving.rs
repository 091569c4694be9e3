//! What a thread of the proxy does with the connections it is given: HTTP/2 is served, anything else relayed.

use super::detect::{Speech, Spoken};
use super::relay::{relay, reset};
use super::{Accepted, Caller, Connect, Proxy};
use crate::lifecycle::{DrainWatch, Phase};
use crate::observe::{Bypasses, ProxyBypass};
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
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

/// What a thread of the proxy serves with.
pub struct Serving<C> {
    /// Serves HTTP/2.
    pub proxy: Arc<Proxy>,
    /// How endpoints are reached with anything else.
    pub connect: C,
    /// What service ports spoke before, on whichever thread.
    pub spoken: Arc<Spoken>,
    /// Counts what is not HTTP/2.
    pub bypasses: Bypasses,
}

impl<C: Connect> Serving<C> {
    /// Serves what comes until nobody gives any more, and then until the last connection has ended or is cut off.
    pub async fn run(self, mut inlet: Inlet, drain: DrainWatch) {
        let serving = Arc::new(self);
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                given = inlet.0.recv() => {
                    let Some((taken, live)) = given else { break };
                    let (serving, drain) = (Arc::clone(&serving), drain.clone());
                    tasks.spawn(async move {
                        if let Err(error) = serving.serve(taken, drain).await {
                            tracing::debug!(%error, "a connection broke");
                        }
                        drop(live);
                    });
                }
                // What a task panics with is in the log.
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        // Who watches is waited for, and this has nothing to finish itself.
        drop(drain);
        while tasks.join_next().await.is_some() {}
    }

    async fn serve(&self, taken: Taken, mut drain: DrainWatch) -> io::Result<()> {
        let Taken {
            stream,
            requested,
            caller,
        } = taken;
        let stream = TcpStream::from_std(stream)?;
        let speech = self.spoken.detect(&stream, requested).await?;
        let accepted = Accepted {
            stream,
            requested,
            caller,
        };
        match speech {
            Speech::Http2 => {
                Arc::clone(&self.proxy).serve(accepted, drain).await;
                Ok(())
            }
            Speech::Bytes => tokio::select! {
                relayed = self.pass_on(accepted) => relayed,
                () = drain.reached(Phase::Ending) => Ok(()),
            },
        }
    }

    /// Relays what is not HTTP/2 to an endpoint of the service, or refuses it.
    async fn pass_on(&self, mut accepted: Accepted) -> io::Result<()> {
        let Some(port) = self.proxy.port_of_new(accepted.requested) else {
            reset(&mut accepted.stream);
            return Ok(());
        };
        let service = &port.service;
        self.bypasses
            .note(&service.namespace, &service.name, ProxyBypass::NotHttp2);
        if port.is_closed_on_failure {
            reset(&mut accepted.stream);
            return Ok(());
        }
        let endpoints = Arc::clone(&port.backend.endpoints);
        drop(port);
        relay(accepted, &endpoints, &self.connect, fastrand::u32(..)).await
    }
}

#[cfg(test)]
mod tests {
    use super::{Hand, Serving, Taken};
    use crate::lifecycle::Drain;
    use crate::model::{BackendTraffic, ObjectName};
    use crate::observe::Bypasses;
    use crate::proxy::{Caller, PlainConnect, Proxy, ProxySettings, Shared};
    use crate::route::{Backend, BackendEndpoint, BackendSetBy, RouteTable, RoutedPort, RuleSet};
    use std::collections::{BTreeMap, HashMap};
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

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
            failure_mode_set_by: None,
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

    /// Gives a connection to a thread that serves these routes; returns the caller's end, and counts.
    async fn give(routes: Arc<RouteTable>) -> (TcpStream, Bypasses, Hand) {
        let bypasses = Bypasses::default();
        let shared = Shared::new(16);
        shared.follow(routes);
        let serving = Serving {
            proxy: Proxy::new(PlainConnect, shared, ProxySettings::default()),
            connect: PlainConnect,
            spoken: Arc::default(),
            bypasses: bypasses.clone(),
        };
        let (hand, inlet) = Hand::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        let (stream, _) = server.unwrap();
        hand.give(Taken {
            stream: stream.into_std().unwrap(),
            requested: REQUESTED.parse().unwrap(),
            caller: Caller::default(),
        });
        let drain = Drain::new();
        let watch = drain.watch();
        tokio::spawn(async move {
            let _drain = drain;
            serving.run(inlet, watch).await;
        });
        (client.unwrap(), bypasses, hand)
    }

    #[tokio::test]
    async fn a_preface_leads_to_the_proxy() {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let (mut client, bypasses, _hand) = give(routes(nowhere, false)).await;
        client
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        // The proxy's first frame are its SETTINGS (RFC 9113, 3.4).
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4);
        assert!(bypasses.series().is_empty());
    }

    #[tokio::test]
    async fn other_bytes_lead_to_an_endpoint_and_are_counted() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = routes(server.local_addr().unwrap(), false);
        let (mut client, bypasses, hand) = give(routes).await;
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
        let (mut client, bypasses, _hand) = give(routes(nowhere, true)).await;
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let error = client.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(bypasses.series()[0].count, 1);
    }
}
