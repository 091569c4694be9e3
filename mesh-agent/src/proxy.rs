//! L2: the proxy of routed connections: HTTP/2 from callers, request by request to endpoints.
//!
//! A connection comes from a listener in its caller's network namespace; what it calls goes on from a socket that is made in
//! that namespace too, so that address and network policy stay the caller's own ([`Connect`]).

mod accepted;
mod attempt;
mod body;
mod call;
mod clock;
mod connect;
mod deliver;
mod departed;
mod destination;
mod detect;
mod exchange;
mod fallback;
mod limiters;
mod listener;
mod mirror;
mod record;
mod relay;
mod reply;
mod serving;
mod session;
mod upstream;
mod wire;

pub use accepted::{Accepted, Caller};
pub use connect::{Connect, InNamespace, MakeSocket, PlainConnect, SocketWanted};
pub use destination::{Destination, Destinations};
pub use detect::Spoken;
pub use listener::{Acceptor, Found, Listening, Origin};
pub use mirror::MirrorFigures;
pub use serving::{Hand, Inlet, Serving};
pub use upstream::{ConnectionFigures, PoolTimes};
pub use wire::WireLimits;

use crate::lifecycle::DrainWatch;
use crate::model::RateLimit;
use crate::observe::{OpenCalls, Outcomes, ProxyFigures, Recording};
use crate::resilience::RateLimiter;
use crate::route::{RouteTable, RoutedPort, Rule};
use arc_swap::ArcSwap;
use departed::Departed;
use limiters::Limiters;
use session::Sessions;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use upstream::Pool;

/// Bounds and times of a proxy.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProxySettings {
    /// Bounds of every connection.
    pub limits: WireLimits,
    /// Times of the connections to endpoints.
    pub times: PoolTimes,
    /// Which calls have spans that endpoints are told of.
    pub recording: Recording,
}

/// What all proxies of an agent share.
#[derive(Debug)]
pub struct Shared {
    /// The routes in force.
    routes: ArcSwap<RouteTable>,
    departed: Departed,
    /// The Services that requests go to.
    pub destinations: Destinations,
    /// Calls that have ended.
    pub outcomes: Arc<Outcomes>,
    /// gRPC calls under way.
    pub open: Arc<OpenCalls>,
    /// What is under way.
    pub figures: Arc<ProxyFigures>,
    limiters: Limiters,
}

impl Shared {
    /// Without routes. `outcomes_max`: calls that may wait to be counted.
    #[must_use]
    pub fn new(outcomes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            routes: ArcSwap::default(),
            departed: Departed::default(),
            destinations: Destinations::default(),
            outcomes: Arc::new(Outcomes::new(outcomes_max)),
            open: Arc::default(),
            figures: Arc::default(),
            limiters: Limiters::default(),
        })
    }

    /// Puts routes into force, for one caller at a time; it calls [`Proxy::routes_changed`] of every proxy afterwards.
    pub fn follow(&self, routes: Arc<RouteTable>) {
        self.departed
            .follow(&self.routes.load(), &routes, clock::now());
        self.routes.store(routes);
    }
}

/// The proxy of one thread: its connections to endpoints are used by that thread's requests alone, so that nothing wakes another
/// thread. It may be shared nevertheless.
pub struct Proxy {
    shared: Arc<Shared>,
    pool: Pool,
    settings: ProxySettings,
    sessions: Sessions,
}

impl Proxy {
    /// A proxy without connections. Its connections' tasks run on the runtime that serves its requests.
    #[must_use]
    pub fn new(connect: impl Connect, shared: Arc<Shared>, settings: ProxySettings) -> Arc<Self> {
        Arc::new(Self {
            shared,
            pool: Pool::new(connect, settings.limits, settings.times),
            settings,
            sessions: Sessions::default(),
        })
    }

    /// Serves a connection until it is over: the caller's end, or that of `drain`.
    pub async fn serve(self: Arc<Self>, accepted: Accepted, drain: DrainWatch) {
        session::run(self, accepted, drain).await;
    }

    /// Lets go of what the routes in force do not name any more: callers are asked to go elsewhere, connections to endpoints end
    /// with their last stream.
    pub fn routes_changed(&self) {
        let table = self.shared.routes.load();
        self.sessions
            .leave_unless(|requested| table.port(requested).is_some());
        let destinations = &self.shared.destinations;
        destinations.follow(&table, clock::now());
        let known = destinations.endpoints();
        self.pool.retire(|endpoint| known.contains(&endpoint));
    }

    fn port(&self, requested: SocketAddr) -> Option<Arc<RoutedPort>> {
        self.shared.routes.load().port(requested).map(Arc::clone)
    }

    /// The port that a new connection was made to; it may not be routed any more since.
    fn port_of_new(&self, requested: SocketAddr) -> Option<Arc<RoutedPort>> {
        let departed = || self.shared.departed.port(requested, clock::now());
        self.port(requested).or_else(departed)
    }

    /// After how long a caller's connection gets a GOAWAY, some tenth more or less so that not all do at once (gRFC A9).
    fn connection_age(&self, requested: SocketAddr) -> Option<Duration> {
        let port = self.port(requested)?;
        let age = port.backend.traffic.connection_age_max?;
        Some(age.mul_f64(0.9 + 0.2 * fastrand::f64()))
    }

    fn limiter(&self, rule: &Rule, limit: &RateLimit, now: Instant) -> Arc<RateLimiter> {
        self.shared.limiters.of(rule, limit, now)
    }

    fn destinations(&self) -> &Destinations {
        &self.shared.destinations
    }

    fn outcomes(&self) -> &Arc<Outcomes> {
        &self.shared.outcomes
    }

    fn figures(&self) -> &Arc<ProxyFigures> {
        &self.shared.figures
    }

    fn open_calls(&self) -> &OpenCalls {
        &self.shared.open
    }

    const fn pool(&self) -> &Pool {
        &self.pool
    }

    const fn settings(&self) -> &ProxySettings {
        &self.settings
    }

    const fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}

#[cfg(test)]
mod tests;
