//! What is known of one endpoint, shared by everything that uses it.

use super::hash::hash_address;
use super::latency::Latency;
use crate::resilience::{Health, Standing};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One endpoint; a few words that many requests change at once.
#[derive(Debug)]
pub(super) struct Endpoint {
    id: u32,
    address: SocketAddr,
    hash: u64,
    /// When it joined a set that had others; `None`: with the first.
    added_ns: Option<u64>,
    pending: AtomicU32,
    streams: AtomicU32,
    /// When it was last picked; zero: never.
    picked_ns: AtomicU64,
    latency: Mutex<Latency>,
    health: Health,
}

/// An endpoint as people are shown it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointView {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Requests that it has not answered yet.
    pub pending: u32,
    /// Streams that are open.
    pub streams: u32,
    /// How long it takes to answer; a guess before its first answer.
    pub latency: Duration,
    /// Whether it gets requests.
    pub standing: Standing,
}

impl Endpoint {
    pub(super) fn new(id: u32, address: SocketAddr, added_ns: Option<u64>) -> Self {
        Self {
            id,
            address,
            hash: hash_address(address),
            added_ns,
            pending: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            picked_ns: AtomicU64::new(0),
            latency: Mutex::default(),
            health: Health::default(),
        }
    }

    /// Tells it from others that had its address.
    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) const fn health(&self) -> &Health {
        &self.health
    }

    /// How long it has been in the set; `None`: from the first.
    pub(super) fn age_ns(&self, now_ns: u64) -> Option<u64> {
        self.added_ns
            .map(|added_ns| now_ns.saturating_sub(added_ns))
    }

    /// Requests that it has not answered yet.
    pub(super) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Streams that are open.
    pub(super) fn streams(&self) -> u32 {
        self.streams.load(Ordering::Relaxed)
    }

    /// When it was last picked; zero: never.
    pub(super) fn picked_ns(&self) -> u64 {
        self.picked_ns.load(Ordering::Relaxed)
    }

    /// Makes the request at hand its first one; `false` if another was faster.
    pub(super) fn is_first_pick(&self, now_ns: u64) -> bool {
        let swap = self
            .picked_ns
            .compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed);
        swap.is_ok()
    }

    pub(super) fn started(&self, now_ns: u64) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.picked_ns.store(now_ns, Ordering::Relaxed);
    }

    /// A request turns into a stream.
    pub(super) fn streams_on(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn stream_ended(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view(&self, weight: u32, now_ns: u64) -> EndpointView {
        let latency_s = self.latency().estimate_s(now_ns);
        EndpointView {
            address: self.address,
            weight,
            pending: self.pending(),
            streams: self.streams(),
            latency: Duration::try_from_secs_f64(latency_s).unwrap_or_default(),
            standing: self.health.standing(),
        }
    }
}
