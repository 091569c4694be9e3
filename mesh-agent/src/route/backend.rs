//! A Service port that requests are sent to.

use crate::model::{BackendTraffic, ObjectId, ObjectName};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// A Service port that requests are sent to. Balancers belong to `name`, `port` and `is_ipv6` and outlive it.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// The Service: `destination_service` and `destination_namespace` of every metric.
    pub name: ObjectName,
    /// The service port.
    pub port: u16,
    /// The family of its endpoints: the caller's own where there are any of it.
    pub is_ipv6: bool,
    /// The endpoints this node may use by the Service's own rules, ordered by address; empty: none is ready.
    pub endpoints: Arc<[BackendEndpoint]>,
    /// How requests to it are treated.
    pub traffic: BackendTraffic,
    /// Who says so.
    pub set_by: BackendSetBy,
    /// `sessionAffinity: ClientIP` timeout in seconds.
    pub affinity_timeout_s: Option<NonZeroU32>,
}

/// One endpoint that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendEndpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of connections and requests; at least 1.
    pub weight: u32,
    /// The workload of the pod behind it.
    pub workload: Option<ObjectName>,
    /// The pod.
    pub pod: Option<ObjectName>,
    /// Node it runs on.
    pub node: Option<Arc<str>>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Whether it is about to go: in use only because no other endpoint is ready.
    pub is_terminating: bool,
}

/// The policies that sections of [`BackendTraffic`] come from; `None`: defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendSetBy {
    /// `loadBalancing`.
    pub load_balancing: Option<ObjectId>,
    /// `circuitBreaker`.
    pub circuit_breaker: Option<ObjectId>,
    /// `outlierDetection`.
    pub outlier_detection: Option<ObjectId>,
    /// `retry.budget`.
    pub retry_budget: Option<ObjectId>,
    /// `connection`.
    pub connection: Option<ObjectId>,
}
