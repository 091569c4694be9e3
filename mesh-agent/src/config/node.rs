//! `v1/Node`: only the labels that say where it stands.

use super::metadata::{Texts, label_value};
use crate::model::Node;
use k8s_openapi::api::core::v1;

/// The label with a node's zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The label with a node's region.
const REGION_LABEL: &str = "topology.kubernetes.io/region";

/// Reduces a Node to its place.
pub(super) fn convert(node: &v1::Node, texts: &mut Texts) -> Node {
    Node {
        zone: texts.share_some(label_value(&node.metadata, ZONE_LABEL)),
        region: texts.share_some(label_value(&node.metadata, REGION_LABEL)),
    }
}
