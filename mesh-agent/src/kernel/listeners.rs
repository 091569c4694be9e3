//! The proxy's listeners in the network namespaces of callers: `LISTENERS`.
//!
//! ```text
//! mesh's cgroup ── processes ── namespaces ─┐
//! ARRIVALS ── connects without a listener ──┴─► listen there ─► the proxy accepts ─► LISTENERS: connects come
//! ```
//!
//! Nothing is opened before some service is routed. A listener keeps its namespace alive, so whether one is still in use shows
//! in its processes alone.

use super::callers::Callers;
use super::fill::Fill;
use super::listening;
use super::maps::{LoadedMaps, remove};
use super::namespaces::{self, NamespaceId, cookie, local_addresses};
use super::netns_sources::SharedSources;
use super::registry::Registry;
use super::waker::Waker;
use super::{KernelError, Settings};
use aya::maps::{HashMap, Map, MapData, RingBuf, SockHash};
use mesh_common::capture::{Arrival, ListenerKey};
use mesh_common::names;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{IpAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// How long a namespace may be without a process of the mesh before its listeners go: a pod's processes may be started anew.
const VANISHED_AFTER: Duration = Duration::from_secs(10);

/// Arrivals read at one go.
const ARRIVALS_MAX: usize = 1_024;

/// What becomes of the listeners.
#[derive(Debug)]
pub enum ListenerChange {
    /// A listener that is to be accepted from, from now on.
    Opened {
        /// The cookie of its network namespace.
        netns_cookie: u64,
        /// An address of the namespace: what stands for its callers, whose captured connections come from loopback.
        address: Option<IpAddr>,
        /// Not blocking.
        listener: TcpListener,
    },
    /// The listeners of a namespace get no more connections: what waits is to be accepted, then they are to be closed.
    Closed {
        /// The cookie of their network namespace.
        netns_cookie: u64,
    },
}

/// Whether any service is routed; written by the syncer, read by the listeners' thread.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    is_any: Arc<AtomicBool>,
    waker: Waker,
}

impl Demand {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            is_any: Arc::default(),
            waker,
        }
    }

    /// Notes whether any service is routed.
    pub(super) fn set(&self, is_any: bool) {
        if self.is_any.swap(is_any, Ordering::Relaxed) != is_any {
            self.waker.wake();
        }
    }
}

/// The listeners. Lives on a thread of its own.
pub struct Listeners {
    sockets: SockHash<MapData, ListenerKey>,
    unlistened: HashMap<MapData, u64, u32>,
    arrivals: RingBuf<MapData>,
    registry: Registry,
    namespaces: SharedSources,
    callers: Callers,
    fill: Arc<Fill>,
    demand: Demand,
    cgroup: PathBuf,
    port: u16,
    held: BTreeMap<NamespaceId, Held>,
}

/// What the listeners share with others.
pub(super) struct Surroundings {
    /// Namespaces that the proxy works in.
    pub(super) registry: Registry,
    /// Whose namespaces are.
    pub(super) namespaces: SharedSources,
    /// Whom people are shown.
    pub(super) callers: Callers,
    /// How full the maps are.
    pub(super) fill: Arc<Fill>,
}

/// A namespace that is listened in, or cannot be.
#[derive(Debug)]
struct Held {
    cookie: u64,
    /// Empty: the agent could not listen.
    keys: Vec<ListenerKey>,
    last_seen: Instant,
}

/// What was found inside a namespace.
struct Inside {
    cookie: u64,
    namespace: OwnedFd,
    addresses: Vec<IpAddr>,
    opened: std::io::Result<Vec<(ListenerKey, TcpListener)>>,
}

/// Takes what becomes of the listeners.
type Tell<'a> = dyn FnMut(ListenerChange) + 'a;

impl Listeners {
    pub(super) fn new(
        settings: &Settings,
        maps: &LoadedMaps,
        surroundings: Surroundings,
    ) -> Result<(Self, Demand), KernelError> {
        let Surroundings {
            registry,
            namespaces,
            callers,
            fill,
        } = surroundings;
        let sockets = Map::SockHash(maps.duplicate(names::LISTENERS)?);
        let arrivals = Map::RingBuf(maps.duplicate(names::ARRIVALS)?);
        let waker = Waker::new().map_err(KernelError::system("make an eventfd"))?;
        let demand = Demand::new(waker);
        let listeners = Self {
            sockets: SockHash::try_from(sockets)
                .map_err(KernelError::map("open", names::LISTENERS))?,
            unlistened: maps.hash(names::UNLISTENED)?,
            arrivals: RingBuf::try_from(arrivals)
                .map_err(KernelError::map("open", names::ARRIVALS))?,
            registry,
            namespaces,
            callers,
            fill,
            demand: demand.clone(),
            cgroup: settings.cgroup.clone(),
            port: settings.proxy_port,
            held: BTreeMap::new(),
        };
        Ok((listeners, demand))
    }

    /// What ends [`Listeners::wait`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.demand.waker.clone()
    }

    /// Waits until a namespace is told of, somebody wakes it, or `limit` has passed.
    ///
    /// # Errors
    /// If the kernel cannot wait.
    pub fn wait(&self, limit: Duration) -> Result<(), KernelError> {
        let timeout = Timespec::try_from(limit).ok();
        let mut ready = [
            PollFd::from_borrowed_fd(self.demand.waker.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.arrivals.as_fd(), PollFlags::IN),
        ];
        match poll(&mut ready, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {
                self.demand.waker.clear();
                Ok(())
            }
            Err(error) => Err(KernelError::system("wait for namespaces")(error)),
        }
    }

    /// Listens in namespaces whose processes have asked for a routed service.
    ///
    /// # Errors
    /// A map or a thread was refused; the others are seen to with the next pass.
    pub fn answer(&mut self, now: Instant, tell: &mut Tell<'_>) -> Result<(), KernelError> {
        let mut asked = BTreeMap::new();
        for _ in 0..ARRIVALS_MAX {
            let Some(record) = self.arrivals.next() else {
                break;
            };
            if let Ok(arrival) = Arrival::read_from_bytes(&record) {
                asked.insert(arrival.netns_cookie, arrival.process);
            }
        }
        asked.retain(|cookie, _| !self.held.values().any(|held| held.cookie == *cookie));
        let mut paths = BTreeMap::new();
        for process in asked.into_values() {
            let path = PathBuf::from(format!("/proc/{process}/ns/net"));
            // It may have ended since.
            if let Ok(facts) = fs::metadata(&path) {
                paths.insert(facts.ino(), path);
            }
        }
        self.open(&paths, now, tell)
    }

    /// Looks for namespaces with processes of the mesh, and closes the listeners of those that have none any more.
    ///
    /// # Errors
    /// A map or a thread was refused; the next pass tries again.
    pub fn pass(&mut self, now: Instant, tell: &mut Tell<'_>) -> Result<(), KernelError> {
        if !self.demand.is_any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let present = namespaces::of_cgroup(&self.cgroup);
        let mut vanished = Vec::new();
        for (id, held) in &mut self.held {
            if present.contains_key(id) {
                held.last_seen = now;
            } else if now.saturating_duration_since(held.last_seen) >= VANISHED_AFTER {
                vanished.push(*id);
            }
        }
        for id in vanished {
            self.close(id, tell)?;
        }
        let missing = present
            .into_iter()
            .filter(|(id, _)| self.held.get(id).is_none_or(|held| held.keys.is_empty()))
            .collect();
        self.open(&missing, now, tell)
    }

    /// Has no connection come to the proxy any more; what waits is still to be accepted.
    ///
    /// # Errors
    /// A map refused it.
    pub fn close_all(&mut self, tell: &mut Tell<'_>) -> Result<(), KernelError> {
        let ids: Vec<_> = self.held.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.close(id, tell))
    }

    fn open(
        &mut self,
        paths: &BTreeMap<NamespaceId, PathBuf>,
        now: Instant,
        tell: &mut Tell<'_>,
    ) -> Result<(), KernelError> {
        if paths.is_empty() {
            return Ok(());
        }
        let port = self.port;
        let found = namespaces::visit(paths, |_| {
            let cookie = cookie().ok()?;
            Some(Inside {
                cookie,
                namespace: File::open("/proc/thread-self/ns/net").ok()?.into(),
                addresses: local_addresses().unwrap_or_default(),
                opened: listening::open(cookie, port),
            })
        })?;
        for (id, inside) in found {
            self.take(id, inside, now, tell)?;
        }
        self.publish_fill();
        Ok(())
    }

    /// The proxy has the listener before connects come to it.
    fn take(
        &mut self,
        id: NamespaceId,
        inside: Inside,
        now: Instant,
        tell: &mut Tell<'_>,
    ) -> Result<(), KernelError> {
        let Inside {
            cookie,
            namespace,
            addresses,
            opened,
        } = inside;
        // A captured connection has a loopback address, which names nobody.
        self.namespaces.name(id, cookie, &addresses)?;
        let address = namespaces::main_address(&addresses);
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let is_new = !self.held.contains_key(&id);
                if is_new {
                    tracing::warn!(%error, netns_cookie = cookie, "cannot listen in a network namespace: its connections are not routed");
                }
                self.callers.set(id, Some(error.to_string()));
                self.hold(id, cookie, Vec::new(), now);
                let refused = self.unlistened.insert(cookie, 1, 0);
                return refused.map_err(KernelError::map("set a key of", names::UNLISTENED));
            }
        };
        self.registry.insert(cookie, namespace);
        let mut keys = Vec::new();
        for (key, listener) in opened {
            let duplicate = listener.try_clone();
            let duplicate = duplicate.map_err(KernelError::system("duplicate a listener"))?;
            tell(ListenerChange::Opened {
                netns_cookie: cookie,
                address,
                listener,
            });
            self.sockets.insert(key, duplicate, 0).map_err(|error| {
                self.fill.count_full(names::LISTENERS);
                KernelError::map("set a key of", names::LISTENERS)(error)
            })?;
            keys.push(key);
        }
        remove(&mut self.unlistened, names::UNLISTENED, &cookie)?;
        self.callers.set(id, None);
        self.hold(id, cookie, keys, now);
        Ok(())
    }

    fn hold(&mut self, id: NamespaceId, cookie: u64, keys: Vec<ListenerKey>, now: Instant) {
        let held = Held {
            cookie,
            keys,
            last_seen: now,
        };
        self.held.insert(id, held);
    }

    fn close(&mut self, id: NamespaceId, tell: &mut Tell<'_>) -> Result<(), KernelError> {
        let Some(held) = self.held.remove(&id) else {
            return Ok(());
        };
        self.callers.remove(id);
        for key in &held.keys {
            // It is gone already if the listener is.
            self.sockets.remove(key).ok();
        }
        remove(&mut self.unlistened, names::UNLISTENED, &held.cookie)?;
        self.registry.remove(held.cookie);
        tell(ListenerChange::Closed {
            netns_cookie: held.cookie,
        });
        self.publish_fill();
        Ok(())
    }

    fn publish_fill(&self) {
        let listeners = self.held.values().map(|held| held.keys.len()).sum();
        let refused: BTreeSet<_> = self
            .held
            .values()
            .filter(|held| held.keys.is_empty())
            .map(|held| held.cookie)
            .collect();
        self.fill.set_entries(names::LISTENERS, listeners);
        self.fill.set_entries(names::UNLISTENED, refused.len());
    }
}
