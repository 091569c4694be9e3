//! Nodes and where they stand.

use std::sync::Arc;

/// A Node's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// Label `topology.kubernetes.io/region`.
    pub region: Option<Arc<str>>,
}

/// The node the agent runs on, as its flags say. Zone and region fall back to the Node object of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its name.
    pub name: Arc<str>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Its region.
    pub region: Option<Arc<str>>,
}

impl NodeIdentity {
    /// A node known by name only.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            zone: None,
            region: None,
        }
    }
}
