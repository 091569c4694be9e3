//! What the proxy is in the middle of, for whoever asks now.

use super::SourceLabels;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the proxy is in the middle of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// The Services that requests have gone to.
    pub destinations: Vec<DestinationState>,
    /// Where callers are.
    pub callers: Vec<CallerNamespace>,
}

/// A port of a Service that requests go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationState {
    /// The Service.
    pub service: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its port.
    pub port: u16,
    /// Whether its endpoints are IPv6.
    pub is_ipv6: bool,
    /// How much of what may be under way is.
    pub bounds: Vec<BoundState>,
    /// Endpoints that outlier detection keeps requests from.
    pub ejected: Vec<EjectedEndpoint>,
}

/// One bound of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundState {
    /// `connections`, `requests` or `pending`.
    pub what: &'static str,
    /// How many there are.
    pub used: u32,
    /// How many there may be; `None`: any number.
    pub max: Option<u32>,
}

/// An endpoint that gets no requests, or one that is to show whether it is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectedEndpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// For how long yet; zero: the next request is a probe; `None`: a probe is under way.
    pub left: Option<Duration>,
}

/// A network namespace that has processes of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerNamespace {
    /// Whose it is; `None`: the manifests name none of its addresses, or it is the host's.
    pub source: Option<SourceLabels>,
    /// Whether it is the host's.
    pub is_host: bool,
    /// Why the proxy does not listen there; `None`: it does.
    pub refused: Option<String>,
}

/// Finds out what the proxy is in the middle of. Cheap to clone.
#[derive(Clone)]
pub struct LiveSource(Arc<dyn Fn() -> Live + Send + Sync>);

impl LiveSource {
    /// Asks `source` each time.
    #[must_use]
    pub fn new(source: impl Fn() -> Live + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// How it is now.
    #[must_use]
    pub fn now(&self) -> Live {
        (self.0)()
    }
}

impl fmt::Debug for LiveSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSource").finish_non_exhaustive()
    }
}
