//! The services in force.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// `/api/services`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// Ordered by namespace and name.
    pub services: Vec<Service>,
}

/// One Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `namespace/name`.
    pub name: String,
    /// Its TCP ports, ordered by number.
    pub ports: Vec<Port>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The port's number.
    pub port: u16,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What it speaks, if known.
    pub protocol: Option<String>,
    /// How connections of callers without routes of their own go: `direct` or `routed`.
    pub path: String,
    /// Namespaces that have routes of their own for it: their callers' connections are routed.
    pub consumer_namespaces: Vec<String>,
    /// `sessionAffinity: ClientIP` timeout in seconds.
    pub affinity_timeout_seconds: Option<u32>,
    /// One entry per address family in use, IPv4 first.
    pub families: Vec<Family>,
}

/// One address family of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Whether this is IPv6.
    pub ipv6: bool,
    /// Cluster IPs; none for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    /// Endpoints that get new connections.
    pub endpoints_in_use: usize,
    /// Endpoints the manifests name.
    pub endpoints: usize,
}

impl Port {
    /// How its connections go, as one text.
    #[must_use]
    pub fn paths(&self) -> String {
        if self.consumer_namespaces.is_empty() || self.path == "routed" {
            return self.path.clone();
        }
        format!(
            "{}; routed from {}",
            self.path,
            self.consumer_namespaces.join(", ")
        )
    }
}

impl Family {
    /// The cluster IPs as one text; `headless` without any.
    #[must_use]
    pub fn addresses(&self) -> String {
        if self.cluster_ips.is_empty() {
            return "headless".to_owned();
        }
        let addresses: Vec<String> = self.cluster_ips.iter().map(IpAddr::to_string).collect();
        addresses.join(", ")
    }
}
