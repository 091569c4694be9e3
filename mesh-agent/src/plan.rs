//! L1: what the node should do, compiled from the manifests; pure data.

mod attachment;
mod catalog;
mod check;
mod claim;
mod compile;
mod declaration;
mod locality;
mod order;
mod policies;
mod references;
mod routing;
mod state;
mod topology;
mod traffic;

pub use catalog::{Capacity, Catalog, Update};
pub use locality::{Rank, Rule, Selection};

use crate::model::{AppProtocol, ObjectName};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Everything this node does for one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlan {
    /// The Service.
    pub name: ObjectName,
    /// Its TCP ports, ordered by port.
    pub ports: Vec<PortPlan>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPlan {
    /// The service port.
    pub port: u16,
    /// The port's name, if it has one.
    pub name: Option<Arc<str>>,
    /// What it speaks, if known.
    pub protocol: Option<AppProtocol>,
    /// `sessionAffinity: ClientIP` timeout in seconds.
    pub affinity_timeout_s: Option<NonZeroU32>,
    /// Whose connections the proxy takes.
    pub routing: Routing,
    /// One entry per address family in use, IPv4 first.
    pub families: Vec<FamilyPlan>,
}

/// Whose connections to a port the proxy takes; everybody else's go straight to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// Everybody's: a producer route is attached, or a policy needs to see requests.
    pub is_routed_for_all: bool,
    /// Those of callers from these Kubernetes namespaces: they have routes of their own.
    pub consumer_namespaces: BTreeSet<Arc<str>>,
    /// `failureMode: Closed`: connections that cannot be taken are refused instead of going straight on.
    pub is_closed_on_failure: bool,
}

impl Routing {
    /// Whether nobody's connections are taken.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        !self.is_routed_for_all && self.consumer_namespaces.is_empty()
    }

    /// Whether connections of a caller from this Kubernetes namespace are taken; `None`: it is not known.
    #[must_use]
    pub fn is_routed_for(&self, caller_namespace: Option<&str>) -> bool {
        let has_own = |namespace| self.consumer_namespaces.contains(namespace);
        self.is_routed_for_all || caller_namespace.is_some_and(has_own)
    }
}

/// One port of a Service in one address family: this is what has a table in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyPlan {
    /// Whether this is IPv6.
    pub ipv6: bool,
    /// Cluster IPs of this family; empty for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    /// Every endpoint the manifests name, ordered by address, whether in use or not.
    pub endpoints: Vec<EndpointPlan>,
    /// By which rule the endpoints in use were chosen, and how far away they are.
    pub selection: Selection,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPlan {
    /// Where it listens.
    pub address: SocketAddr,
    /// The workload of the pod behind it (`targetRef` without the generated suffixes).
    pub workload: Option<ObjectName>,
    /// The pod (`targetRef`).
    pub pod: Option<ObjectName>,
    /// Node it runs on.
    pub node: Option<Arc<str>>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Whether new connections may go to it, and why not.
    pub standing: Standing,
}

/// Whether an endpoint gets new connections on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the table, with this many rows.
    InUse {
        /// Rows in the table; at least 1.
        weight: u32,
    },
    /// Not ready.
    NotReady,
    /// Terminating while others are ready.
    Terminating,
    /// Ready, but in another locality than the one in use.
    OtherLocality,
}

/// A change of one Service, in the order in which changes are to be applied.
#[derive(Clone, Debug)]
pub struct ServiceChange {
    /// The Service.
    pub name: ObjectName,
    /// What was in force; `None`: new.
    pub old: Option<Arc<ServicePlan>>,
    /// What shall be in force; `None`: removed.
    pub new: Option<Arc<ServicePlan>>,
}

#[cfg(test)]
mod tests;
