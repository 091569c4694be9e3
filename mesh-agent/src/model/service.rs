//! A Service, reduced to what the mesh acts on.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

/// What a service port speaks (`appProtocol`, else the port name's prefix); `None` elsewhere means: not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppProtocol {
    /// gRPC over HTTP/2 without TLS.
    Grpc,
    /// HTTP/2 without TLS, prior knowledge (`kubernetes.io/h2c`).
    H2c,
    /// HTTP/2 (`http2`).
    Http2,
    /// HTTP/1.
    Http,
    /// WebSocket over TLS (`kubernetes.io/wss`).
    Wss,
    /// Opaque bytes.
    Tcp,
}

/// Where a Service wants its connections to go (`trafficDistribution`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficDistribution {
    /// Anywhere.
    #[default]
    Any,
    /// To the same zone while an endpoint there is ready (`PreferSameZone`, `PreferClose`).
    PreferSameZone,
    /// To the same node, else to the same zone, else anywhere.
    PreferSameNode,
}

/// The cluster addresses of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterIps {
    /// The IPv4 address.
    pub v4: Option<IpAddr>,
    /// The IPv6 address.
    pub v6: Option<IpAddr>,
}

impl ClusterIps {
    /// The addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.into_iter().chain(self.v6)
    }

    /// Whether there is none (a headless Service).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }
}

/// A Service, reduced to what the mesh acts on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `creationTimestamp` in seconds since 1970: the older wins conflicts. Files without one count as youngest.
    pub created_s: Option<i64>,
    /// Its cluster addresses.
    pub cluster_ips: ClusterIps,
    /// Its TCP ports, ordered by port.
    pub ports: Vec<ServicePort>,
    /// `sessionAffinity: ClientIP` timeout in seconds.
    pub affinity_timeout_s: Option<NonZeroU32>,
    /// `internalTrafficPolicy: Local`.
    pub is_node_local: bool,
    /// `trafficDistribution`.
    pub traffic_distribution: TrafficDistribution,
    /// `publishNotReadyAddresses`: readiness does not count.
    pub publishes_not_ready: bool,
}

/// One TCP port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The port.
    pub port: u16,
    /// Its name; empty if the Service's only port has none. Slices name the ports alike.
    pub name: Arc<str>,
    /// What it speaks, if known.
    pub protocol: Option<AppProtocol>,
}
