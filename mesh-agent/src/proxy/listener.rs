//! Accepts captured connections in their callers' namespaces and hands them to the proxy's threads.

use super::Caller;
use super::relay::reset;
use super::serving::{Hand, Taken};
use crate::model::ObjectName;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections that are served at once, by all threads together.
const CONNECTIONS_MAX: usize = 65_536;

/// Pause after the system had no descriptor or memory for one more connection.
const PAUSE: Duration = Duration::from_millis(50);

/// What becomes of the listeners in callers' namespaces.
#[derive(Debug)]
pub enum Listening {
    /// A listener in a network namespace.
    Opened {
        /// The namespace's cookie.
        netns: u64,
        /// An address of the namespace, if it has one that others may see.
        address: Option<IpAddr>,
        /// Not blocking.
        listener: StdListener,
    },
    /// No more connections come in this namespace but those that wait.
    Closed(u64),
}

/// Where a connection was going, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the caller asked for: an address of a Service and its port.
    pub requested: SocketAddr,
    /// The caller's Kubernetes namespace, if it is known.
    pub namespace: Option<Arc<str>>,
    /// The caller's workload, if it is known.
    pub workload: Option<ObjectName>,
}

/// Answers where a connection in this namespace, from this address, was going; `None`: nowhere but to the listener.
pub type Origin = Box<dyn FnMut(u64, SocketAddr) -> Option<Found> + Send>;

/// A network namespace that is listened in.
#[derive(Clone, Copy, Debug)]
struct Place {
    netns: u64,
    address: Option<IpAddr>,
}

/// Accepts in every namespace. Runs on one thread, which has little else to do per connection.
pub struct Acceptor {
    shared: Arc<Shared>,
    changes: mpsc::UnboundedReceiver<Listening>,
    /// What ends the tasks of a namespace by being dropped.
    open: HashMap<u64, Vec<oneshot::Sender<()>>>,
    tasks: JoinSet<()>,
}

struct Shared {
    origin: Mutex<Origin>,
    hands: Vec<Hand>,
}

impl Acceptor {
    /// Gives connections to the hand that has the fewest.
    #[must_use]
    pub fn new(
        changes: mpsc::UnboundedReceiver<Listening>,
        origin: Origin,
        hands: Vec<Hand>,
    ) -> Self {
        let shared = Shared {
            origin: Mutex::new(origin),
            hands,
        };
        Self {
            shared: Arc::new(shared),
            changes,
            open: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Accepts until nobody tells of listeners any more, and all that were told of are closed.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                change = self.changes.recv() => match change {
                    Some(Listening::Opened { netns, address, listener }) => {
                        self.open(Place { netns, address }, listener);
                    }
                    Some(Listening::Closed(netns)) => drop(self.open.remove(&netns)),
                    None => break,
                },
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
            }
        }
        self.open.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    fn open(&mut self, place: Place, listener: StdListener) {
        let netns = place.netns;
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, netns_cookie = netns, "cannot wait for connections in a network namespace");
                return;
            }
        };
        let (close, closed) = oneshot::channel();
        self.open.entry(netns).or_default().push(close);
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            accept_until(&shared, place, &listener, closed).await;
            // What the kernel has made a connection of was promised to be served.
            while let Ok(Ok(accepted)) = timeout(Duration::ZERO, listener.accept()).await {
                shared.take(place, accepted);
            }
        });
    }
}

/// Accepts until it is told to close: nobody sends, the sender is dropped.
async fn accept_until(
    shared: &Shared,
    place: Place,
    listener: &TcpListener,
    mut closed: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => shared.take(place, accepted),
                // It has ended while it waited.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, netns_cookie = place.netns, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            },
            _ = &mut closed => return,
        }
    }
}

impl Shared {
    fn take(&self, place: Place, (mut stream, peer): (TcpStream, SocketAddr)) {
        let Place { netns, address } = place;
        let found = {
            let mut origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
            origin(netns, peer)
        };
        let Some(found) = found else {
            tracing::debug!(%peer, netns_cookie = netns, "a connection to the listener itself is reset");
            return reset(&mut stream);
        };
        // Unless it was bound before, a connection to a loopback address comes from there too.
        let source = Some(peer.ip()).filter(|ip| !ip.is_loopback());
        let caller = Caller {
            netns,
            namespace: found.namespace,
            workload: found.workload,
            source,
            address: source.or(address),
        };
        let total: usize = self.hands.iter().map(Hand::live).sum();
        let hand = self.hands.iter().min_by_key(|hand| hand.live());
        let Some(hand) = hand.filter(|_| total < CONNECTIONS_MAX) else {
            tracing::warn!(total, "too many connections: one is reset");
            return reset(&mut stream);
        };
        // It goes on in another thread's event loop. Fails only if this one is ending.
        let Ok(stream) = stream.into_std() else {
            return;
        };
        hand.give(Taken {
            stream,
            requested: found.requested,
            caller,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Acceptor, Found, Listening, Origin};
    use crate::proxy::serving::{Hand, Inlet};
    use std::io::ErrorKind;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    const NETNS: u64 = 7;
    const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 2));

    struct Scene {
        address: SocketAddr,
        changes: mpsc::UnboundedSender<Listening>,
        inlet: Inlet,
    }

    /// An acceptor with one listener, whose connections all were going to `requested`.
    fn scene(requested: Option<SocketAddr>) -> (Scene, impl Future<Output = ()>) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (changes, told) = mpsc::unbounded_channel();
        let opened = Listening::Opened {
            netns: NETNS,
            address: Some(POD),
            listener,
        };
        changes.send(opened).unwrap();
        let (hand, inlet) = Hand::new();
        let origin: Origin = Box::new(move |netns, _| {
            assert_eq!(netns, NETNS);
            requested.map(|requested| Found {
                requested,
                namespace: Some("shop".into()),
                workload: None,
            })
        });
        let scene = Scene {
            address,
            changes,
            inlet,
        };
        (scene, Acceptor::new(told, origin, vec![hand]).run())
    }

    #[tokio::test]
    async fn a_connection_comes_with_where_it_was_going() {
        let requested: SocketAddr = "10.96.0.1:80".parse().unwrap();
        let (mut scene, running) = scene(Some(requested));
        tokio::spawn(running);

        let client = TcpStream::connect(scene.address).await.unwrap();
        let taken = scene.inlet.next().await.unwrap();

        assert_eq!(taken.requested, requested);
        let peer = taken.stream.peer_addr().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(taken.caller.netns, NETNS);
        assert_eq!(taken.caller.namespace.as_deref(), Some("shop"));
        assert_eq!(
            taken.caller.source, None,
            "a loopback address was not bound"
        );
        assert_eq!(
            taken.caller.address,
            Some(POD),
            "loopback stands for nobody"
        );
    }

    #[tokio::test]
    async fn a_connection_to_the_listener_itself_is_reset() {
        let (scene, running) = scene(None);
        tokio::spawn(running);
        let mut client = TcpStream::connect(scene.address).await.unwrap();
        let error = client.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn what_waits_when_a_listener_is_closed_is_still_served() {
        let requested: SocketAddr = "10.96.0.1:80".parse().unwrap();
        let (mut scene, running) = scene(Some(requested));
        // The kernel completes the handshakes before anybody accepts.
        let first = TcpStream::connect(scene.address).await.unwrap();
        let second = TcpStream::connect(scene.address).await.unwrap();
        scene.changes.send(Listening::Closed(NETNS)).unwrap();
        drop(scene.changes);

        running.await;

        for client in [first, second] {
            let taken = scene.inlet.next().await.unwrap();
            let peer = taken.stream.peer_addr().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
        assert!(scene.inlet.next().await.is_none());
    }
}
