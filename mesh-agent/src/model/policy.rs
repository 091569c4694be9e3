//! A MeshPolicy, reduced to what is in force today.

use std::sync::Arc;

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

/// A MeshPolicy, reduced to what is in force today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `creationTimestamp` in seconds since 1970: the older wins conflicts.
    pub created_s: Option<i64>,
    /// The Services it targets, in its own namespace.
    pub targets: Vec<PolicyTarget>,
    /// `loadBalancing.locality`, if it says so.
    pub locality: Option<Locality>,
}

/// A Service, or one port of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTarget {
    /// The Service's name.
    pub service: Arc<str>,
    /// The port's name; `None`: every port.
    pub port: Option<Arc<str>>,
    /// Its index in `spec.targetRefs`.
    pub index: usize,
}
