//! Ports that are not routed any more. The kernel sends no connection to them before the routes go, but one that it had sent may
//! be waiting to be accepted, or for its caller's first bytes: it is served as it would have been, and asked to leave.

use crate::route::{RouteTable, RoutedPort};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a port is kept: more than a caller may take for its first bytes.
pub(super) const KEPT: Duration = Duration::from_secs(15);

/// Ports that are kept at once; those that go with them are forgotten.
const PORTS_MAX: usize = 4_096;

/// Ports that are not routed any more, and since when.
#[derive(Debug, Default)]
pub(super) struct Departed(Mutex<HashMap<SocketAddr, (Instant, Arc<RoutedPort>)>>);

impl Departed {
    /// Keeps what `old` names and `new` does not.
    pub(super) fn follow(&self, old: &RouteTable, new: &RouteTable, now: Instant) {
        let mut kept = self.lock();
        kept.retain(|at, (since, _)| is_kept(*since, now) && new.port(*at).is_none());
        let room = PORTS_MAX.saturating_sub(kept.len());
        let gone = old.ports().filter(|(at, _)| new.port(*at).is_none());
        let gone = gone.map(|(at, port)| (at, (now, Arc::clone(port))));
        kept.extend(gone.take(room));
    }

    /// The port as it was.
    pub(super) fn port(&self, requested: SocketAddr, now: Instant) -> Option<Arc<RoutedPort>> {
        let kept = self.lock();
        let (since, port) = kept.get(&requested)?;
        is_kept(*since, now).then(|| Arc::clone(port))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, (Instant, Arc<RoutedPort>)>> {
        // Every critical section leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_kept(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < KEPT
}
