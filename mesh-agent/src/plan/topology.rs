//! Where nodes and endpoints stand, seen from this node.

use super::Rank;
use crate::model::{Endpoint, Node, NodeIdentity};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The places of all nodes, and this node's own.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    identity: NodeIdentity,
    nodes: BTreeMap<Arc<str>, Node>,
    regions: BTreeMap<Arc<str>, Arc<str>>,
    zone: Option<Arc<str>>,
    region: Option<Arc<str>>,
}

impl Topology {
    /// No node known but this one.
    pub(super) fn new(identity: NodeIdentity) -> Self {
        let mut topology = Self {
            identity,
            nodes: BTreeMap::new(),
            regions: BTreeMap::new(),
            zone: None,
            region: None,
        };
        topology.refresh();
        topology
    }

    /// Sets or removes a Node; says whether any rank may differ now.
    pub(super) fn set_node(&mut self, name: &Arc<str>, node: Option<Node>) -> bool {
        let old = match &node {
            Some(node) => self.nodes.insert(Arc::clone(name), node.clone()),
            None => self.nodes.remove(name),
        };
        if old == node {
            return false;
        }
        self.refresh();
        true
    }

    /// The regions of zones follow from the nodes; flags go before this node's own object.
    fn refresh(&mut self) {
        self.regions.clear();
        for node in self.nodes.values() {
            if let (Some(zone), Some(region)) = (&node.zone, &node.region) {
                let known = self.regions.entry(Arc::clone(zone));
                known.or_insert_with(|| Arc::clone(region));
            }
        }
        let own = self.nodes.get(&self.identity.name);
        let flag = &self.identity;
        self.zone = flag.zone.clone().or_else(|| own?.zone.clone());
        let of_zone = |zone: &Option<Arc<str>>| self.regions.get(zone.as_ref()?).cloned();
        self.region = flag
            .region
            .clone()
            .or_else(|| own?.region.clone())
            .or_else(|| of_zone(&self.zone));
    }

    /// This node's name.
    pub(super) fn node_name(&self) -> &str {
        &self.identity.name
    }

    /// This node's zone, if known.
    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The zone of an endpoint: its own word, else its node's.
    pub(super) fn zone_of<'t>(&'t self, endpoint: &'t Endpoint) -> Option<&'t Arc<str>> {
        let of_node = || self.nodes.get(endpoint.node.as_ref()?)?.zone.as_ref();
        endpoint.zone.as_ref().or_else(of_node)
    }

    /// How far away an endpoint is.
    pub(super) fn rank(&self, endpoint: &Endpoint) -> Rank {
        if endpoint.node.as_deref() == Some(&*self.identity.name) {
            return Rank::Node;
        }
        let zone = self.zone_of(endpoint);
        if zone.is_some() && zone == self.zone.as_ref() {
            return Rank::Zone;
        }
        let of_node = || self.nodes.get(endpoint.node.as_ref()?)?.region.as_ref();
        let region = zone
            .and_then(|zone| self.regions.get(zone))
            .or_else(of_node);
        if region.is_some() && region == self.region.as_ref() {
            return Rank::Region;
        }
        Rank::Any
    }
}
