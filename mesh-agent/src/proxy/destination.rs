//! What is known of the Services that requests go to, across changes of the configuration and for all connections: endpoints and
//! their health, circuit breaker, retry budget.

use super::mirror::MirrorFigures;
use super::upstream::Client;
use crate::balance::{Balancer, Settings};
use crate::model::ObjectName;
use crate::observe::{
    BoundState, DestinationLabels, DestinationState, EjectedEndpoint, UpstreamSeries,
};
use crate::resilience::{Breaker, Budget, Resource, Standing};
use crate::route::{Backend, RouteTable};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// A port of a Service that requests go to.
#[derive(Debug)]
pub struct Destination {
    /// Chooses endpoints.
    pub balancer: Arc<Balancer>,
    /// For whom its connections are made: what bounds all that is under way, and counts connections.
    pub(super) client: Client,
    /// Bounds retries.
    pub budget: Budget,
    /// Counts the copies of requests that it got.
    pub mirrors: MirrorFigures,
    current: Mutex<Current>,
}

/// What the configuration says of it now.
#[derive(Debug)]
struct Current {
    /// Only to tell whether it is news; weak, so that a table that is no longer in force goes.
    backend: Weak<Backend>,
    endpoints: HashMap<SocketAddr, Arc<DestinationLabels>>,
    nobody: Arc<DestinationLabels>,
}

impl Destination {
    fn new(backend: &Arc<Backend>, now: Instant) -> Self {
        let destination = Self {
            balancer: Balancer::new(settings(backend), now),
            client: Client {
                breaker: Breaker::new(backend.traffic.circuit_breaker.as_ref()),
                figures: Arc::default(),
            },
            budget: Budget::new(backend.traffic.retry_budget, now),
            mirrors: MirrorFigures::default(),
            current: Mutex::new(Current {
                backend: Weak::new(),
                endpoints: HashMap::new(),
                nobody: Arc::new(labels(backend, None)),
            }),
        };
        destination.follow(backend, now);
        destination
    }

    /// The labels of an endpoint; `None`: of the Service alone.
    pub(super) fn labels(&self, endpoint: Option<SocketAddr>) -> Arc<DestinationLabels> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let own = endpoint.and_then(|endpoint| current.endpoints.get(&endpoint));
        Arc::clone(own.unwrap_or(&current.nobody))
    }

    fn counted(&self) -> Counted {
        Counted {
            opened: self.client.figures.opened(),
            ejections: self.balancer.ejections(),
            mirrors_sent: self.mirrors.sent(),
            mirrors_failed: self.mirrors.failed(),
        }
    }

    /// Puts what the configuration says in force, if that is news.
    fn follow(&self, backend: &Arc<Backend>, now: Instant) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if std::ptr::eq(current.backend.as_ptr(), Arc::as_ptr(backend)) {
            return;
        }
        current.backend = Arc::downgrade(backend);
        current.endpoints = backend
            .endpoints
            .iter()
            .map(|endpoint| {
                let labels = labels(backend, endpoint.workload.as_ref());
                (endpoint.address, Arc::new(labels))
            })
            .collect();
        let endpoints: Vec<(SocketAddr, u32)> = backend
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.address, endpoint.weight))
            .collect();
        self.balancer.update(&settings(backend), &endpoints, now);
        let traffic = &backend.traffic;
        self.client
            .breaker
            .reconfigure(traffic.circuit_breaker.as_ref());
        self.budget.reconfigure(traffic.retry_budget, now);
    }
}

fn settings(backend: &Backend) -> Settings {
    Settings {
        load_balancing: backend.traffic.load_balancing.clone(),
        outlier_detection: backend.traffic.outlier_detection.clone(),
        affinity_timeout_s: backend.affinity_timeout_s,
    }
}

fn labels(backend: &Backend, workload: Option<&ObjectName>) -> DestinationLabels {
    DestinationLabels {
        service: Arc::clone(&backend.name.name),
        namespace: Arc::clone(&backend.name.namespace),
        workload: workload.map_or_else(|| Arc::from(""), |workload| Arc::clone(&workload.name)),
    }
}

fn upstream_series(service: &ObjectName, counted: Counted, active: u64) -> UpstreamSeries {
    UpstreamSeries {
        service: Arc::clone(&service.name),
        namespace: Arc::clone(&service.namespace),
        active,
        opened: counted.opened,
        ejections: counted.ejections,
        mirrors_sent: counted.mirrors_sent,
        mirrors_failed: counted.mirrors_failed,
    }
}

fn state(
    (service, port, is_ipv6): Key,
    destination: &Destination,
    now: Instant,
) -> DestinationState {
    let bounds = destination.client.breaker.usage().map(|usage| BoundState {
        what: match usage.resource {
            Resource::Connection => "connections",
            Resource::Request => "requests",
            Resource::Pending => "pending",
        },
        used: usage.used,
        max: usage.max,
    });
    let endpoints = destination.balancer.view(now).into_iter();
    let ejected = endpoints.filter_map(|endpoint| {
        let left = match endpoint.standing {
            Standing::In => return None,
            Standing::Out { until } => Some(until.saturating_duration_since(now)),
            Standing::Probing => None,
        };
        Some(EjectedEndpoint {
            address: endpoint.address,
            left,
        })
    });
    DestinationState {
        service: service.name,
        namespace: service.namespace,
        port,
        is_ipv6,
        bounds: bounds.into(),
        ejected: ejected.collect(),
    }
}

/// Service, port, and whether its endpoints are IPv6.
type Key = (ObjectName, u16, bool);

fn key(backend: &Backend) -> Key {
    (backend.name.clone(), backend.port, backend.is_ipv6)
}

/// Every destination, by Service, port and family. Shared by all proxies of the agent.
#[derive(Debug, Default)]
pub struct Destinations {
    known: Mutex<HashMap<Key, Arc<Destination>>>,
    /// What those had counted that are gone; locked after `known`, so that everything is in one of them.
    gone: Mutex<HashMap<ObjectName, Counted>>,
}

/// What is not to go back when a Service goes.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    opened: u64,
    ejections: u64,
    mirrors_sent: u64,
    mirrors_failed: u64,
}

impl Counted {
    const fn add(&mut self, other: Self) {
        self.opened += other.opened;
        self.ejections += other.ejections;
        self.mirrors_sent += other.mirrors_sent;
        self.mirrors_failed += other.mirrors_failed;
    }
}

/// Services that are gone and told apart; the rest is forgotten, which so many removals may cost.
const GONE_MAX: usize = 8_192;

impl Destinations {
    /// The destination that a backend stands for, with what the backend says in force.
    pub(super) fn of(&self, backend: &Arc<Backend>, now: Instant) -> Arc<Destination> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let destination = known
            .entry(key(backend))
            .or_insert_with(|| Arc::new(Destination::new(backend, now)));
        let destination = Arc::clone(destination);
        drop(known);
        destination.follow(backend, now);
        destination
    }

    /// Puts what a new table says in force, and lets go of those that it does not name. One that no request has gone to begins
    /// with its first.
    pub(super) fn follow(&self, table: &RouteTable, now: Instant) {
        let mut named: HashMap<Key, &Arc<Backend>> = HashMap::new();
        for backend in table.backends() {
            named.insert(key(backend), backend);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|key, destination| {
            if let Some(backend) = named.get(key) {
                destination.follow(backend, now);
                return true;
            }
            let (service, ..) = key;
            if gone.len() < GONE_MAX || gone.contains_key(service) {
                let sum = gone.entry(service.clone()).or_default();
                sum.add(destination.counted());
            }
            false
        });
    }

    /// What is counted here and not call by call; a Service may stand there more than once.
    #[must_use]
    pub fn upstream(&self) -> Vec<UpstreamSeries> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let living = known.iter().map(|((service, ..), destination)| {
            let active = destination.client.figures.active();
            upstream_series(service, destination.counted(), active)
        });
        let mut all: Vec<UpstreamSeries> = living.collect();
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(
            gone.iter()
                .map(|(service, counted)| upstream_series(service, *counted, 0)),
        );
        all
    }

    /// How all of them are, in no order.
    #[must_use]
    pub fn states(&self, now: Instant) -> Vec<DestinationState> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<(Key, Arc<Destination>)> = known
            .iter()
            .map(|(key, destination)| (key.clone(), Arc::clone(destination)))
            .collect();
        drop(known);
        let states = all
            .into_iter()
            .map(|(key, destination)| state(key, &destination, now));
        states.collect()
    }

    /// Every endpoint of all of them.
    pub(super) fn endpoints(&self) -> HashSet<SocketAddr> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = HashSet::new();
        for destination in known.values() {
            let current = destination.current.lock();
            let current = current.unwrap_or_else(PoisonError::into_inner);
            all.extend(current.endpoints.keys().copied());
        }
        all
    }

    /// A destination, if requests have gone to it.
    #[must_use]
    pub fn get(&self, service: &ObjectName, port: u16, is_ipv6: bool) -> Option<Arc<Destination>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(service.clone(), port, is_ipv6)).map(Arc::clone)
    }
}
