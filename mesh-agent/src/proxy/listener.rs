//! Accepts captured connections in their callers' namespaces and hands them to the proxy's threads.

use super::Caller;
use super::serving::{Hand, Taken};
use crate::model::ObjectName;
use rustix::net::{SocketFlags, accept_with, getpeername};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Connections that are served at once, by all threads together.
const CONNECTIONS_MAX: usize = 65_536;

/// Pause after the system had no descriptor or memory for one more connection.
const PAUSE: Duration = Duration::from_millis(50);

/// What becomes of the listeners in callers' namespaces.
#[derive(Debug)]
pub enum Listening {
    /// A listener, not blocking, in the network namespace with this cookie.
    Opened(u64, TcpListener),
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

/// Accepts in every namespace. Runs on one thread, which has little else to do per connection.
pub struct Acceptor {
    shared: Arc<Shared>,
    changes: mpsc::UnboundedReceiver<Listening>,
    /// What ends the tasks of a namespace by being dropped.
    open: HashMap<u64, Vec<oneshot::Sender<()>>>,
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
        }
    }

    /// Accepts until nobody tells of listeners any more.
    pub async fn run(mut self) {
        while let Some(change) = self.changes.recv().await {
            match change {
                Listening::Opened(netns, listener) => self.open(netns, listener),
                Listening::Closed(netns) => drop(self.open.remove(&netns)),
            }
        }
    }

    fn open(&mut self, netns: u64, listener: TcpListener) {
        let listener = match AsyncFd::new(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, netns_cookie = netns, "cannot wait for connections in a network namespace");
                return;
            }
        };
        let (close, closed) = oneshot::channel();
        self.open.entry(netns).or_default().push(close);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { accept_all(&shared, netns, &listener, closed).await });
    }
}

async fn accept_all(
    shared: &Shared,
    netns: u64,
    listener: &AsyncFd<TcpListener>,
    mut closed: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            ready = listener.readable() => {
                let Ok(mut ready) = ready else { return };
                match accept_waiting(shared, netns, listener.get_ref()) {
                    Ok(()) => ready.clear_ready(),
                    Err(error) => {
                        tracing::warn!(%error, netns_cookie = netns, "cannot accept a connection");
                        sleep(PAUSE).await;
                    }
                }
            }
            // Nobody sends: it is dropped.
            _ = &mut closed => {
                // What the kernel has made a connection of was promised to be served.
                if let Err(error) = accept_waiting(shared, netns, listener.get_ref()) {
                    tracing::warn!(%error, netns_cookie = netns, "connections that waited are lost");
                }
                return;
            }
        }
    }
}

/// Accepts until none waits.
fn accept_waiting(shared: &Shared, netns: u64, listener: &TcpListener) -> io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    loop {
        match accept_with(listener.as_fd(), flags) {
            Ok(stream) => shared.take(netns, stream.into()),
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            // It has ended while it waited.
            Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Shared {
    fn take(&self, netns: u64, mut stream: TcpStream) {
        // It has ended already if it has no peer.
        let Some(peer) = peer(&stream) else { return };
        let found = {
            let mut origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
            origin(netns, peer)
        };
        let Some(found) = found else {
            tracing::debug!(%peer, netns_cookie = netns, "a connection to the listener itself is reset");
            return reset_std(&mut stream);
        };
        let caller = Caller {
            netns,
            namespace: found.namespace,
            workload: found.workload,
            // Unless it was bound before, a connection to a loopback address comes from there too.
            source: Some(peer.ip()).filter(|ip| !ip.is_loopback()),
        };
        let total: usize = self.hands.iter().map(Hand::live).sum();
        let hand = self.hands.iter().min_by_key(|hand| hand.live());
        let Some(hand) = hand.filter(|_| total < CONNECTIONS_MAX) else {
            tracing::warn!(total, "too many connections: one is reset");
            return reset_std(&mut stream);
        };
        hand.give(Taken {
            stream,
            requested: found.requested,
            peer,
            caller,
        });
    }
}

fn peer(stream: &TcpStream) -> Option<SocketAddr> {
    let peer = getpeername(stream.as_fd()).ok()??;
    SocketAddr::try_from(peer).ok()
}

fn reset_std(stream: &mut TcpStream) {
    // Fails for a socket that is broken already.
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .ok();
}
