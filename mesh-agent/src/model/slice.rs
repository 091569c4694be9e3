//! An EndpointSlice, reduced to what the mesh acts on.

use super::ObjectName;
use std::net::IpAddr;
use std::sync::Arc;

/// An EndpointSlice, reduced to what the mesh acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The Service, by the label `kubernetes.io/service-name`.
    pub service: Arc<str>,
    /// Its TCP ports.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A TCP port that every endpoint of a slice listens at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name; the Service's port of that name is meant.
    pub name: Arc<str>,
    /// The port.
    pub port: u16,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// `conditions.ready`; not given: true.
    pub is_ready: bool,
    /// `conditions.serving`; not given: true.
    pub is_serving: bool,
    /// `conditions.terminating`; not given: false.
    pub is_terminating: bool,
    /// Node it runs on.
    pub node: Option<Arc<str>>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// `hints.forZones`.
    pub zone_hints: Box<[Arc<str>]>,
    /// `hints.forNodes`.
    pub node_hints: Box<[Arc<str>]>,
    /// The pod behind it (`targetRef`).
    pub pod: Option<ObjectName>,
    /// The workload of that pod: its name without the generated suffixes.
    pub workload: Option<ObjectName>,
}
