//! Connections to endpoints, shared by the requests of callers from one network namespace and source address.
//!
//! ```text
//!  acquire ─▶ a connection with room ────────────────────────────▶ Lease (one stream's place)
//!     └─────▶ none: wait, and dial another one ─▶ its driver task ──▶ Lease for who waits longest
//!  a connection leaves the pool: GOAWAY, lost, idle, or its endpoint is gone; its streams go on without it
//! ```

mod driver;
mod entry;
mod silence;

pub(super) use entry::Lease;

use super::Connect;
use super::wire::WireLimits;
use crate::resilience::{Breaker, PENDING_WAIT_MAX, Permit, Resource};
use entry::{Entry, Waiting};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Which connections may carry a request: its caller's namespace and source address are part of what the endpoint sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    /// Cookie of the caller's network namespace.
    pub(super) netns: u64,
    /// The address that the caller bound.
    pub(super) source: Option<IpAddr>,
    /// The endpoint.
    pub(super) endpoint: SocketAddr,
}

/// Why a request got no place on a connection.
#[derive(Debug)]
pub(super) enum NoLease {
    /// The destination's circuit breaker allows no more connections or waiting requests.
    CircuitOpen,
    /// No connection could be made.
    Connect(Arc<io::Error>),
    /// There are connections, and none had room in time.
    Full,
}

/// How many connections there are and were.
#[derive(Debug, Default)]
pub struct ConnectionFigures {
    /// Connections open now.
    active: AtomicU64,
    /// Connections ever made.
    opened: AtomicU64,
}

impl ConnectionFigures {
    /// Connections open now (`mesh_upstream_connections_active`).
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Connections ever made (`mesh_upstream_connection_opened_total`).
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

/// Times of the pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolTimes {
    /// A connection attempt may take so long.
    pub connect: Duration,
    /// A connection without streams is closed after so long.
    pub idle: Duration,
    /// A connection with streams on which nothing came for so long gets a PING; doubled when the endpoint complains (gRFC A8).
    pub ping: Duration,
    /// Data that nobody acknowledges for so long ends a connection (gRFC A18).
    pub user_timeout: Duration,
}

impl Default for PoolTimes {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            // As gRPC's own clients have it.
            idle: Duration::from_secs(30 * 60),
            // Gently more than the five minutes that are the least which gRPC servers allow by default: they count from one
            // arrival to the next, and one that was late on its way makes the next one early.
            ping: Duration::from_secs(310),
            user_timeout: Duration::from_secs(20),
        }
    }
}

type Dialing = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// [`Connect`] without its type, which nothing else here depends on.
type Dial = Box<dyn Fn(PoolKey) -> Dialing + Send + Sync>;

/// What every connection of a pool is made with.
struct Makings {
    dial: Dial,
    limits: WireLimits,
    times: PoolTimes,
    entries: Mutex<HashMap<PoolKey, Arc<Entry>>>,
    /// Silence before a PING of endpoints that have complained; kept for as long as they are known.
    pings: Mutex<HashMap<SocketAddr, Duration>>,
}

impl Makings {
    /// How long a connection to an endpoint may be silent before it gets a PING.
    fn ping(&self, endpoint: SocketAddr) -> Duration {
        let pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        pings.get(&endpoint).copied().unwrap_or(self.times.ping)
    }

    /// An endpoint has complained of PINGs after so long: its next connections get half as many (gRFC A8).
    fn ping_less(&self, endpoint: SocketAddr, after: Duration) {
        let mut pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        let ping = pings.entry(endpoint).or_default();
        // Connections that end together complain of the same.
        *ping = after.saturating_mul(2).max(*ping);
    }

    /// Forgets an entry that nobody but its caller uses, when its last connection has ended.
    fn forget(&self, entry: &Arc<Entry>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's own reference and the caller's.
        let is_known = entries
            .get(&entry.key())
            .is_some_and(|known| Arc::ptr_eq(known, entry));
        if is_known && Arc::strong_count(entry) == 2 {
            entries.remove(&entry.key());
        }
    }
}

/// The connections of one proxy.
pub(super) struct Pool {
    makings: Arc<Makings>,
}

/// For whom a connection is made.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The destination's bounds.
    pub(super) breaker: Arc<Breaker>,
    /// Where its connections are counted.
    pub(super) figures: Arc<ConnectionFigures>,
}

impl Pool {
    /// A pool without connections.
    pub(super) fn new(connect: impl Connect, limits: WireLimits, times: PoolTimes) -> Self {
        let connect = Arc::new(connect);
        let dial = Box::new(move |key: PoolKey| {
            let connect = Arc::clone(&connect);
            let dialing: Dialing =
                Box::pin(async move { connect.connect(key.netns, key.source, key.endpoint).await });
            dialing
        });
        Self {
            makings: Arc::new(Makings {
                dial,
                limits,
                times,
                entries: Mutex::default(),
                pings: Mutex::default(),
            }),
        }
    }

    /// A stream's place on a connection to the endpoint; makes a connection if none has room.
    pub(super) async fn acquire(&self, key: PoolKey, client: &Client) -> Result<Lease, NoLease> {
        let entry = self.entry(key);
        if let Some(lease) = Entry::lease(&entry) {
            return Ok(lease);
        }
        let waits = client.breaker.take(Resource::Pending);
        let _waits: Permit = waits.ok_or(NoLease::CircuitOpen)?;
        let waiting = match Entry::wait(&entry) {
            Waiting::Leased(lease) => return Ok(lease),
            Waiting::For { lease, is_to_dial } => {
                if is_to_dial {
                    self.dial(&entry, client)?;
                }
                lease
            }
        };
        match timeout(PENDING_WAIT_MAX, waiting).await {
            Ok(Ok(lease)) => lease.map_err(NoLease::Connect),
            // An endpoint that has taken a connection is full; one that has not may not be there at all.
            Ok(Err(_)) | Err(_) if entry.is_connected() => Err(NoLease::Full),
            Ok(Err(_)) | Err(_) => {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                Err(NoLease::Connect(Arc::new(error)))
            }
        }
    }

    /// Endpoints and kinds of callers that there are connections for.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        let entries = self.makings.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets connections to endpoints that `is_known` does not know end when their last stream does.
    pub(super) fn retire(&self, is_known: impl Fn(SocketAddr) -> bool) {
        let mut gone = vec![];
        let entries = self.makings.entries.lock();
        let mut entries = entries.unwrap_or_else(PoisonError::into_inner);
        entries.retain(|key, entry| {
            let is_kept = is_known(key.endpoint);
            if !is_kept {
                gone.push(Arc::clone(entry));
            }
            is_kept
        });
        drop(entries);
        let pings = self.makings.pings.lock();
        let mut pings = pings.unwrap_or_else(PoisonError::into_inner);
        pings.retain(|endpoint, _| is_known(*endpoint));
        drop(pings);
        for entry in gone {
            entry.retire();
        }
    }

    fn entry(&self, key: PoolKey) -> Arc<Entry> {
        let entries = self.makings.entries.lock();
        let mut entries = entries.unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&key) {
            return Arc::clone(entry);
        }
        // Those whose last stream was over after their last connection do not pile up: nobody else uses them.
        if entries.len() == entries.capacity() {
            entries.retain(|_, entry| Arc::strong_count(entry) > 1);
        }
        let entry = Arc::new(Entry::new(key, &self.makings));
        entries.insert(key, Arc::clone(&entry));
        entry
    }

    fn dial(&self, entry: &Arc<Entry>, client: &Client) -> Result<(), NoLease> {
        let Some(permit) = client.breaker.take(Resource::Connection) else {
            let is_hopeless = entry.dial_denied();
            // Others' connections may still get room.
            return if is_hopeless {
                Err(NoLease::CircuitOpen)
            } else {
                Ok(())
            };
        };
        let makings = Arc::clone(&self.makings);
        let entry = Arc::clone(entry);
        tokio::spawn(driver::run(makings, entry, client.clone(), permit));
        Ok(())
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
