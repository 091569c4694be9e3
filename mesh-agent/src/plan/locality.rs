//! Which of a service's endpoints this node uses: readiness first, then locality.
//!
//! The rules of `Service` follow kube-proxy (`pkg/proxy/topology.go`): hints count only if every ready endpoint has them
//! and one of them is for us; serving endpoints that terminate are used only while none is ready.

use super::topology::Topology;
use crate::model::{Endpoint, Locality, Service, TrafficDistribution};
use std::fmt;

/// How far away an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// On this node.
    Node,
    /// In this node's zone.
    Zone,
    /// In this node's region.
    Region,
    /// Elsewhere, or not known.
    Any,
}

/// By which rule endpoints were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// No rule: all of them.
    Everywhere,
    /// `internalTrafficPolicy: Local`.
    InternalTrafficPolicyLocal,
    /// `hints.forNodes` of the slices.
    NodeHints,
    /// `hints.forZones` of the slices.
    ZoneHints,
    /// `trafficDistribution`: some endpoint in the preferred locality is ready.
    TrafficDistribution,
    /// MeshPolicy `locality: Failover`.
    Failover,
    /// MeshPolicy `locality: Strict`.
    Strict,
    /// MeshPolicy `locality: Off`.
    Off,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everywhere => "every endpoint, whatever its locality",
            Self::InternalTrafficPolicyLocal => {
                "endpoints on this node (internalTrafficPolicy: Local)"
            }
            Self::NodeHints => "endpoints hinted for this node (hints.forNodes)",
            Self::ZoneHints => "endpoints hinted for this zone (hints.forZones)",
            Self::TrafficDistribution => "the locality preferred by trafficDistribution",
            Self::Failover => {
                "the nearest locality with an endpoint (MeshPolicy locality: Failover)"
            }
            Self::Strict => "this zone only (MeshPolicy locality: Strict)",
            Self::Off => "every endpoint (MeshPolicy locality: Off)",
        })
    }
}

/// By which rule the endpoints in use were chosen, and how far away they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Selection {
    /// The rule.
    pub rule: Rule,
    /// The farthest locality in use; `None`: no endpoint is usable.
    pub reach: Option<Rank>,
    /// Whether none is ready and terminating ones that still serve stand in.
    pub is_draining: bool,
}

/// An endpoint and what choosing needs to know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// The endpoint.
    pub(super) endpoint: &'a Endpoint,
    /// How far away it is.
    pub(super) rank: Rank,
    /// Whether it is ready.
    pub(super) is_ready: bool,
}

impl Candidate<'_> {
    const fn is_draining(&self) -> bool {
        self.endpoint.is_serving && self.endpoint.is_terminating
    }
}

/// Chooses the endpoints to use: one answer per candidate.
pub(super) fn choose(
    candidates: &[Candidate<'_>],
    service: &Service,
    locality: Locality,
    topology: &Topology,
) -> (Vec<bool>, Selection) {
    if service.is_node_local {
        // A hard rule: nobody else's endpoints, even if this node has none.
        return pick(candidates, Rule::InternalTrafficPolicyLocal, |c| {
            c.rank == Rank::Node
        });
    }
    match locality {
        Locality::Off => pick(candidates, Rule::Off, |_| true),
        // Where the own zone is not known, "this zone only" would cut off everything.
        Locality::Strict => pick(candidates, Rule::Strict, |c| {
            topology.zone().is_none() || c.rank <= Rank::Zone
        }),
        Locality::Failover => {
            let nearest = nearest(candidates, |c| c.is_ready)
                .or_else(|| nearest(candidates, |c| c.is_draining()));
            pick(candidates, Rule::Failover, |c| Some(c.rank) == nearest)
        }
        Locality::Service => choose_as_service_says(candidates, service, topology),
    }
}

fn choose_as_service_says(
    candidates: &[Candidate<'_>],
    service: &Service,
    topology: &Topology,
) -> (Vec<bool>, Selection) {
    let ready = || candidates.iter().filter(|c| c.is_ready);
    if ready().next().is_none() {
        return pick(candidates, Rule::Everywhere, |_| true);
    }
    let is_for_node = |c: &Candidate<'_>| {
        let mut hints = c.endpoint.node_hints.iter();
        hints.any(|node| **node == *topology.node_name())
    };
    if ready().all(|c| !c.endpoint.node_hints.is_empty()) && ready().any(is_for_node) {
        return pick(candidates, Rule::NodeHints, is_for_node);
    }
    let is_for_zone = |c: &Candidate<'_>| {
        let mut hints = c.endpoint.zone_hints.iter();
        hints.any(|zone| Some(&**zone) == topology.zone())
    };
    if ready().all(|c| !c.endpoint.zone_hints.is_empty()) && ready().any(is_for_zone) {
        return pick(candidates, Rule::ZoneHints, is_for_zone);
    }
    let preferred: &[Rank] = match service.traffic_distribution {
        TrafficDistribution::Any => &[],
        TrafficDistribution::PreferSameZone => &[Rank::Zone],
        TrafficDistribution::PreferSameNode => &[Rank::Node, Rank::Zone],
    };
    for rank in preferred {
        // Without a known zone, "same zone" would mean "same node".
        let is_known = *rank != Rank::Zone || topology.zone().is_some();
        if is_known && ready().any(|c| c.rank <= *rank) {
            return pick(candidates, Rule::TrafficDistribution, |c| c.rank <= *rank);
        }
    }
    pick(candidates, Rule::Everywhere, |_| true)
}

fn nearest(
    candidates: &[Candidate<'_>],
    is_wanted: impl Fn(&Candidate<'_>) -> bool,
) -> Option<Rank> {
    candidates
        .iter()
        .filter(|c| is_wanted(c))
        .map(|c| c.rank)
        .min()
}

/// The ready ones among the eligible; if there is none, the eligible ones that terminate but still serve.
fn pick(
    candidates: &[Candidate<'_>],
    rule: Rule,
    is_eligible: impl Fn(&Candidate<'_>) -> bool,
) -> (Vec<bool>, Selection) {
    let take = |is_wanted: &dyn Fn(&Candidate<'_>) -> bool| -> Vec<bool> {
        let chosen = candidates.iter().map(|c| is_wanted(c) && is_eligible(c));
        chosen.collect()
    };
    let mut chosen = take(&|c| c.is_ready);
    let mut is_draining = false;
    if !chosen.contains(&true) {
        chosen = take(&|c| c.is_draining());
        is_draining = chosen.contains(&true);
    }
    let in_use = candidates.iter().zip(&chosen).filter(|(_, is_in)| **is_in);
    let selection = Selection {
        rule,
        reach: in_use.map(|(candidate, _)| candidate.rank).max(),
        is_draining,
    };
    (chosen, selection)
}
