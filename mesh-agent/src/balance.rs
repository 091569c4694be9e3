//! L1: which endpoint a request goes to. Pure: time and randomness are arguments.
//!
//! A [`Balancer`] lives as long as its backend. What is known of an endpoint (latency, requests under way, health) is kept by
//! its address across changes of the set. A request reads one immutable `Membership` under a read lock held for the choice
//! only; updates and ejections put a new one in its place.

mod affinity;
mod choice;
mod endpoint;
mod hash;
mod latency;
mod membership;
mod picked;

pub use affinity::Client;
pub use endpoint::EndpointView;
pub use hash::hash_key;
pub use membership::Settings;
pub use picked::Picked;

use crate::resilience::{Due, Health};
use affinity::Clients;
use choice::Choice;
use endpoint::Endpoint;
use membership::{Member, Membership};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// A request that needs an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The present.
    pub now: Instant,
    /// Whatever is left to chance comes from this.
    pub random: u64,
    /// [`hash_key`] of what `RingHash` goes by; `None`: the request has none, and any endpoint will do.
    pub hash: Option<u64>,
    /// Who calls, for `sessionAffinity: ClientIP`.
    pub client: Option<Client>,
    /// Endpoints that this call has tried: used again only where there is no other.
    pub avoid: &'a [SocketAddr],
}

/// Spreads the requests to one port of one Service over its endpoints.
#[derive(Debug)]
pub struct Balancer {
    epoch: Instant,
    current: RwLock<Arc<Membership>>,
    /// Held by whoever makes a new membership; holds the id of the next endpoint.
    writer: Mutex<u32>,
    /// Requests that took turns (RoundRobin).
    turn: AtomicU64,
    clients: OnceLock<Clients>,
    ejections: AtomicU64,
}

impl Balancer {
    /// Has no endpoints yet.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            epoch: now,
            current: RwLock::new(Arc::new(Membership::empty(settings, now))),
            writer: Mutex::new(1),
            turn: AtomicU64::new(0),
            clients: OnceLock::new(),
            ejections: AtomicU64::new(0),
        })
    }

    /// Puts settings and the set of endpoints (address and weight, at least 1) in force. An address that was there keeps all
    /// that is known of it; of one that stands twice, the first counts.
    pub fn update(&self, settings: &Settings, endpoints: &[(SocketAddr, u32)], now: Instant) {
        let mut next_id = self.lock_writer();
        let old = self.current();
        let known: HashMap<SocketAddr, &Arc<Endpoint>> = old
            .members
            .iter()
            .map(|member| (member.endpoint.address(), &member.endpoint))
            .collect();
        // Where there was none, no endpoint is newer than another.
        let added_ns = (!known.is_empty()).then(|| self.since_epoch_ns(now));
        let members = endpoints.iter().map(|(address, weight)| {
            let endpoint = known.get(address).map_or_else(
                || {
                    *next_id = next_id.wrapping_add(1);
                    Arc::new(Endpoint::new(*next_id, *address, added_ns))
                },
                |endpoint| Arc::clone(endpoint),
            );
            Member {
                endpoint,
                weight: (*weight).max(1),
            }
        });
        let members: Vec<Member> = members.collect();
        self.replace(old.followed_by(settings, members, now));
    }

    /// Chooses the endpoint of a try, which counts as under way there until the answer is dropped or ended; `None` if there
    /// are no endpoints.
    #[must_use]
    pub fn pick(self: &Arc<Self>, wish: &Wish<'_>) -> Option<Picked> {
        let now_ns = self.since_epoch_ns(wish.now);
        let (endpoint, is_probe) = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            match probe(&current, wish) {
                Some(endpoint) => (Arc::clone(endpoint), true),
                None => (Arc::clone(self.choose(&current, wish, now_ns)?), false),
            }
        };
        Some(Picked::new(Arc::clone(self), endpoint, wish.now, is_probe))
    }

    /// Whether a call that has tried these endpoints could try another one now.
    #[must_use]
    pub fn has_other(&self, tried: &[SocketAddr]) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let mut available = current.available.iter();
        available.any(|member| !tried.contains(&member.endpoint.address()))
    }

    /// How many ejections there were.
    #[must_use]
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Every endpoint, ordered by address.
    #[must_use]
    pub fn view(&self, now: Instant) -> Vec<EndpointView> {
        let now_ns = self.since_epoch_ns(now);
        let current = self.current();
        let view = |member: &Member| member.endpoint.view(member.weight, now_ns);
        current.members.iter().map(view).collect()
    }

    fn choose<'m>(
        &self,
        current: &'m Membership,
        wish: &Wish<'_>,
        now_ns: u64,
    ) -> Option<&'m Arc<Endpoint>> {
        let mut choice = Choice::new(current, wish, now_ns, &self.turn)?;
        let index = match (current.affinity_timeout_s(), wish.client) {
            (Some(timeout_s), Some(client)) => {
                let clients = self.clients.get_or_init(Clients::default);
                clients.choose(&choice, client, timeout_s)
            }
            _ => choice.choose(),
        };
        current.available.get(index).map(|member| &member.endpoint)
    }

    /// Does what a try of `endpoint` made due.
    fn settle(&self, endpoint: &Arc<Endpoint>, due: Due, now: Instant) {
        if due == Due::default() {
            return;
        }
        let _writer = self.lock_writer();
        let current = self.current();
        let Some(detector) = &current.detector else {
            return;
        };
        let is_target = |member: &Member| Arc::ptr_eq(&member.endpoint, endpoint);
        let all: Vec<&Health> = current
            .members
            .iter()
            .map(|m| m.endpoint.health())
            .collect();
        let mut ejected = 0;
        if due.ejection && current.members.iter().any(is_target) {
            ejected += u32::from(detector.eject(endpoint.health(), &all, now));
        }
        if due.intervals > 0 {
            ejected += detector.sweep(&all, due.intervals, now);
        }
        if ejected > 0 {
            self.ejections
                .fetch_add(u64::from(ejected), Ordering::Relaxed);
            self.replace(current.rebuilt());
        }
    }

    /// An ejected endpoint is in again.
    fn readmitted(&self) {
        let _writer = self.lock_writer();
        self.replace(self.current().rebuilt());
    }

    /// The next membership; called with the writer's lock.
    fn replace(&self, membership: Membership) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(membership);
    }

    fn current(&self) -> Arc<Membership> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing under the lock leaves things half done, so a poisoned one is as good.
    fn lock_writer(&self) -> MutexGuard<'_, u32> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Zero stands for never.
    fn since_epoch_ns(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.epoch)).max(1)
    }
}

/// An ejected endpoint whose time is over, which this request is to try. Retries are not: they should succeed.
fn probe<'m>(current: &'m Membership, wish: &Wish<'_>) -> Option<&'m Arc<Endpoint>> {
    if !wish.avoid.is_empty() {
        return None;
    }
    let mut ejected = current.ejected.iter();
    ejected.find(|endpoint| endpoint.health().starts_probe(wish.now))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
