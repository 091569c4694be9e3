//! Every routed service port of the node: what the proxy looks up.

use super::{Backend, RuleSet};
use crate::model::{AppProtocol, ObjectId, ObjectName};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// Every routed service port of the node. Immutable: a change makes a new one that shares what stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteTable {
    ports: HashMap<SocketAddr, Arc<RoutedPort>>,
}

impl RouteTable {
    /// The table of these ports, by cluster IP and service port.
    #[must_use]
    pub fn new(ports: HashMap<SocketAddr, Arc<RoutedPort>>) -> Self {
        Self { ports }
    }

    /// The port a caller connected to; `None`: it is not routed (any more).
    #[must_use]
    pub fn port(&self, requested: SocketAddr) -> Option<&Arc<RoutedPort>> {
        self.ports.get(&requested)
    }

    /// The table while a change is applied: what `new` says, and of what it says nothing, what `self` says. New routes
    /// are there before the kernel sends connections, old ones until it does not any more.
    #[must_use]
    pub fn with(&self, new: &Self) -> Self {
        let mut ports = self.ports.clone();
        ports.extend(new.ports.iter().map(|(at, port)| (*at, Arc::clone(port))));
        Self { ports }
    }

    /// Every backend that a request may go to, most of them more than once.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.ports.values().flat_map(|port| port.backends())
    }

    /// Its ports, in no order.
    pub fn ports(&self) -> impl Iterator<Item = (SocketAddr, &Arc<RoutedPort>)> {
        self.ports.iter().map(|(at, port)| (*at, port))
    }
}

/// A service port that is routed for some callers or for all.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutedPort {
    /// The Service that is called.
    pub service: ObjectName,
    /// The service port.
    pub port: u16,
    /// What it speaks, if known.
    pub protocol: Option<AppProtocol>,
    /// `failureMode: Closed`: without the proxy connections are refused, and what is not HTTP/2 too.
    pub is_closed_on_failure: bool,
    /// The policy that says so, or the contrary; `None`: the default.
    pub failure_mode_set_by: Option<ObjectId>,
    /// The Service itself: where bytes that are not HTTP/2 go.
    pub backend: Arc<Backend>,
    /// What holds for callers without routes of their own: producer routes; none attached: everything to `backend`.
    pub producer: RuleSet,
    /// Consumer routes by the caller's Kubernetes namespace.
    pub consumers: BTreeMap<Arc<str>, RuleSet>,
}

impl RoutedPort {
    /// What holds for a caller from this Kubernetes namespace: consumer routes replace producer routes (GEP-1294).
    /// `None`: it is not known, and producer routes hold.
    #[must_use]
    pub fn rules(&self, caller_namespace: Option<&str>) -> &RuleSet {
        let own = caller_namespace.and_then(|namespace| self.consumers.get(namespace));
        own.unwrap_or(&self.producer)
    }
    fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        let sets = std::iter::once(&self.producer).chain(self.consumers.values());
        let rules = sets.flat_map(RuleSet::rules);
        let named = rules.flat_map(|rule| rule.backends());
        std::iter::once(&self.backend).chain(named)
    }
}
