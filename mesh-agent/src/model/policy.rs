//! A MeshPolicy: what it says, section by section, and of what.

use super::{
    CircuitBreaker, Fallback, Fault, Kind, LoadBalancing, ObjectName, OutlierDetection, RateLimit,
    Retry, RetryBudget, Timeouts,
};
use std::sync::Arc;
use std::time::Duration;

/// `loadBalancing.locality` of a MeshPolicy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Locality {
    /// As the Service says: `trafficDistribution`, hints, else anywhere.
    #[default]
    Service,
    /// The nearest locality with a ready endpoint: node, zone, region, any.
    Failover,
    /// The caller's zone only; no endpoint there: none at all.
    Strict,
    /// Anywhere, whatever the Service says.
    Off,
}

/// A MeshPolicy, or an XBackendTrafficPolicy, which has a retry budget only. A section that it does not have is `None`; one that it has is complete, with defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// `creationTimestamp` in seconds since 1970: the older wins conflicts.
    pub created_s: Option<i64>,
    /// What it is about, in its own namespace.
    pub targets: Vec<PolicyTarget>,
    /// What it says of Services that receive requests.
    pub backend: BackendSections,
    /// What it says of Services and routes that are called.
    pub call: CallSections,
}

/// The sections that hold for a Service that receives requests. A policy for a route has none of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendSections {
    /// `failureMode`: whether it is `Closed`.
    pub is_closed_on_failure: Option<bool>,
    /// `loadBalancing`.
    pub load_balancing: Option<LoadBalancingSection>,
    /// `circuitBreaker`.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// `outlierDetection`.
    pub outlier_detection: Option<OutlierDetection>,
    /// `retry.budget`, whenever there is a section `retry`.
    pub retry_budget: Option<RetryBudget>,
    /// `connection.maxAge`.
    pub connection_age_max: Option<Duration>,
}

/// `loadBalancing`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancingSection {
    /// `locality`.
    pub locality: Locality,
    /// Everything else, if any of it is given: this is what needs the proxy.
    pub balancing: Option<LoadBalancing>,
}

/// The sections that hold for a Service or route that is called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallSections {
    /// `timeouts`.
    pub timeouts: Option<Timeouts>,
    /// `retry` without its budget.
    pub retry: Option<Retry>,
    /// `rateLimit`.
    pub rate_limit: Option<RateLimit>,
    /// `fault`.
    pub fault: Option<Fault>,
    /// `fallback`.
    pub fallback: Option<Fallback>,
}

impl Policy {
    /// Whether it says anything that only the proxy can carry out: a Service that it targets is routed then.
    #[must_use]
    pub fn is_about_requests(&self) -> bool {
        let backend = &self.backend;
        let balancing = backend.load_balancing.as_ref();
        balancing.is_some_and(|section| section.balancing.is_some())
            || backend.circuit_breaker.is_some()
            || backend.outlier_detection.is_some()
            || self.call != CallSections::default()
    }

    /// The names of its sections.
    pub fn sections(&self) -> impl Iterator<Item = &'static str> {
        let (backend, call) = (&self.backend, &self.call);
        [
            ("failureMode", backend.is_closed_on_failure.is_some()),
            ("loadBalancing", backend.load_balancing.is_some()),
            ("timeouts", call.timeouts.is_some()),
            ("retry", call.retry.is_some()),
            (
                "retryConstraint",
                backend.retry_budget.is_some() && call.retry.is_none(),
            ),
            ("circuitBreaker", backend.circuit_breaker.is_some()),
            ("outlierDetection", backend.outlier_detection.is_some()),
            ("rateLimit", call.rate_limit.is_some()),
            ("fault", call.fault.is_some()),
            ("fallback", call.fallback.is_some()),
            ("connection", backend.connection_age_max.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_there)| is_there.then_some(name))
    }
}

/// What a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTarget {
    /// What.
    pub to: PolicyAim,
    /// Its index in `spec.targetRefs`.
    pub index: usize,
}

/// A Service or a route, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyAim {
    /// A Service by name, or the port of it that has this name.
    Service(Arc<str>, Option<Arc<str>>),
    /// A route by kind and name, or the rule of it that has this name.
    Route(Kind, Arc<str>, Option<Arc<str>>),
}

impl PolicyTarget {
    /// The Service, if it is one, in the policy's namespace.
    #[must_use]
    pub fn service(&self, namespace: &Arc<str>) -> Option<ObjectName> {
        match &self.to {
            PolicyAim::Service(name, _) => Some(ObjectName {
                namespace: Arc::clone(namespace),
                name: Arc::clone(name),
            }),
            PolicyAim::Route(..) => None,
        }
    }
}
