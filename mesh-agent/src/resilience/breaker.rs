//! How much may be under way to a destination at once (gRFC A32; Envoy's circuit breakers).

use crate::model::CircuitBreaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a request may wait for a connection or a stream's place.
pub const PENDING_WAIT_MAX: Duration = Duration::from_secs(1);

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A connection upstream.
    Connection,
    /// A request under way, from its first try to its end.
    Request,
    /// A request that waits for a connection or a stream's place.
    Pending,
}

/// How much of a bound is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Of what.
    pub resource: Resource,
    /// How many places are taken.
    pub used: u32,
    /// How many there are; `None`: there is no bound.
    pub max: Option<u32>,
}

/// What is under way from this agent to one destination Service, and its bounds.
#[derive(Debug)]
pub struct Breaker {
    connections: Gauge,
    requests: Gauge,
    pending: Gauge,
}

#[derive(Debug)]
struct Gauge {
    used: AtomicU32,
    max: AtomicU32,
}

impl Breaker {
    /// Nothing is under way; without limits there is no bound.
    #[must_use]
    pub fn new(limits: Option<&CircuitBreaker>) -> Arc<Self> {
        let unbounded = || Gauge {
            used: AtomicU32::new(0),
            max: AtomicU32::new(u32::MAX),
        };
        let breaker = Self {
            connections: unbounded(),
            requests: unbounded(),
            pending: unbounded(),
        };
        breaker.reconfigure(limits);
        Arc::new(breaker)
    }

    /// Puts other limits in force. What is under way stays, even above them.
    pub fn reconfigure(&self, limits: Option<&CircuitBreaker>) {
        let max = |of: fn(&CircuitBreaker) -> u32| limits.map_or(u32::MAX, of);
        for (gauge, max) in [
            (&self.connections, max(|limits| limits.connections_max)),
            (&self.requests, max(|limits| limits.requests_max)),
            (&self.pending, max(|limits| limits.pending_max)),
        ] {
            gauge.max.store(max, Ordering::Relaxed);
        }
    }

    /// Takes a place until the permit is dropped; `None` if the circuit is open.
    #[must_use]
    pub fn take(self: &Arc<Self>, resource: Resource) -> Option<Permit> {
        let gauge = self.gauge(resource);
        let max = gauge.max.load(Ordering::Relaxed);
        let add = |used: u32| (used < max).then(|| used.saturating_add(1));
        gauge
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .ok()?;
        Some(Permit {
            breaker: Arc::clone(self),
            resource,
        })
    }

    /// How many places are taken.
    #[must_use]
    pub fn used(&self, resource: Resource) -> u32 {
        self.gauge(resource).used.load(Ordering::Relaxed)
    }

    /// How much of each bound is used.
    #[must_use]
    pub fn usage(&self) -> [Usage; 3] {
        [Resource::Connection, Resource::Request, Resource::Pending].map(|resource| {
            let max = self.gauge(resource).max.load(Ordering::Relaxed);
            Usage {
                resource,
                used: self.used(resource),
                max: (max != u32::MAX).then_some(max),
            }
        })
    }

    const fn gauge(&self, resource: Resource) -> &Gauge {
        match resource {
            Resource::Connection => &self.connections,
            Resource::Request => &self.requests,
            Resource::Pending => &self.pending,
        }
    }
}

/// A place; dropping it gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once bounds nothing"]
pub struct Permit {
    breaker: Arc<Breaker>,
    resource: Resource,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let used = &self.breaker.gauge(self.resource).used;
        used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Permit, Resource};
    use crate::model::CircuitBreaker;
    use std::sync::Arc;
    use std::thread;

    const LIMITS: CircuitBreaker = CircuitBreaker {
        connections_max: 1,
        requests_max: 3,
        pending_max: 0,
    };

    fn take_many(breaker: &Arc<Breaker>, resource: Resource) -> Vec<Permit> {
        (0..10).filter_map(|_| breaker.take(resource)).collect()
    }

    #[test]
    fn each_resource_has_its_own_bound() {
        let breaker = Breaker::new(Some(&LIMITS));
        let taken = [Resource::Connection, Resource::Request, Resource::Pending]
            .map(|resource| take_many(&breaker, resource));
        assert_eq!(taken.map(|permits| permits.len()), [1, 3, 0]);
    }

    #[test]
    fn a_dropped_permit_makes_room() {
        let breaker = Breaker::new(Some(&LIMITS));
        let mut permits = take_many(&breaker, Resource::Request);
        assert!(breaker.take(Resource::Request).is_none());
        permits.pop();
        let usage = breaker.usage().map(|usage| (usage.used, usage.max));
        assert_eq!(usage, [(0, Some(1)), (2, Some(3)), (0, Some(0))]);
        assert!(breaker.take(Resource::Request).is_some());
    }

    #[test]
    fn lower_limits_let_finish_what_is_under_way() {
        let breaker = Breaker::new(None);
        let mut permits = take_many(&breaker, Resource::Request);
        assert_eq!(permits.len(), 10);
        breaker.reconfigure(Some(&LIMITS));
        assert!(breaker.take(Resource::Request).is_none());
        permits.truncate(2);
        assert!(breaker.take(Resource::Request).is_some());
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let breaker = Breaker::new(Some(&CircuitBreaker {
            requests_max: 2,
            ..LIMITS
        }));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let permit = breaker.take(Resource::Request);
                        assert!(breaker.used(Resource::Request) <= 2);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(breaker.used(Resource::Request), 0);
    }
}
