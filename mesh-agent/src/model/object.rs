//! The identity of a configuration object, and what it may contain.

use super::{Node, Policy, Route, Service, Slice};
use std::fmt;
use std::sync::Arc;

/// Namespace and name of a Kubernetes object, printed as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The Kubernetes namespace; empty for objects of the cluster (Node).
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl ObjectName {
    /// Joins a namespace and a name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The kinds the mesh puts into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1/Service`.
    Service,
    /// `discovery.k8s.io/v1/EndpointSlice`.
    EndpointSlice,
    /// `v1/Node`.
    Node,
    /// `mesh.dev/v1alpha1/MeshPolicy`.
    MeshPolicy,
    /// `gateway.networking.x-k8s.io/v1alpha1/XBackendTrafficPolicy`.
    BackendTrafficPolicy,
    /// `gateway.networking.k8s.io/v1/GRPCRoute`.
    GrpcRoute,
    /// `gateway.networking.k8s.io/v1/HTTPRoute`.
    HttpRoute,
}

impl Kind {
    /// The kind as manifests write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::MeshPolicy => "MeshPolicy",
            Self::BackendTrafficPolicy => "XBackendTrafficPolicy",
            Self::GrpcRoute => "GRPCRoute",
            Self::HttpRoute => "HTTPRoute",
        }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: ObjectName,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// What an object says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A Service.
    Service(Service),
    /// An EndpointSlice.
    Slice(Slice),
    /// A Node.
    Node(Node),
    /// A MeshPolicy or XBackendTrafficPolicy.
    Policy(Box<Policy>),
    /// A GRPCRoute or HTTPRoute.
    Route(Route),
}
