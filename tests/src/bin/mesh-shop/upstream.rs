//! A service that this one calls: a few connections, each replaced while it is still young.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::transport::{Channel, Endpoint, Error};

/// Connections at a time.
const CONNECTION_COUNT: usize = 4;

/// A new connection meets a new choice of endpoint. Real clients keep theirs for minutes; here a person is watching.
const CONNECTION_AGE_MAX: Duration = Duration::from_millis(500);

/// Far above anything a healthy demo needs; it only keeps a broken one from hanging.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Connections to one service address.
pub(crate) struct Upstream {
    endpoint: Endpoint,
    slots: Vec<Mutex<Slot>>,
    next: AtomicUsize,
}

struct Slot {
    channel: Channel,
    made: Instant,
}

impl Slot {
    fn new(endpoint: &Endpoint) -> Self {
        Self {
            channel: endpoint.connect_lazy(),
            made: Instant::now(),
        }
    }
}

impl Upstream {
    /// Prepares connections to `address`; each is made by its first call.
    pub(crate) fn new(address: SocketAddr) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CALL_LIMIT)
            .timeout(CALL_LIMIT);
        let slots = (0..CONNECTION_COUNT)
            .map(|_| Mutex::new(Slot::new(&endpoint)))
            .collect();
        Ok(Self {
            endpoint,
            slots,
            next: AtomicUsize::new(0),
        })
    }

    /// The next connection in turn. A replaced one closes once its last call has ended.
    pub(crate) fn channel(&self) -> Channel {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let mut slot = self.slots[turn]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if slot.made.elapsed() >= CONNECTION_AGE_MAX {
            *slot = Slot::new(&self.endpoint);
        }
        slot.channel.clone()
    }
}
