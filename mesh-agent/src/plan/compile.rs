//! One Service, its slices and its policies to what the node does for it: a pure function.

use super::attachment::{self, Attachment};
use super::locality::{Candidate, choose};
use super::policies::{self, Chain};
use super::topology::Topology;
use super::{EndpointPlan, FamilyPlan, PortPlan, Routing, ServicePlan, Standing};
use crate::model::{Endpoint, Locality, ObjectName, Service, ServicePort, Slice};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Everything a Service's plan depends on.
pub(super) struct Facts<'a> {
    /// Its name.
    pub(super) name: &'a ObjectName,
    /// The Service.
    pub(super) service: &'a Service,
    /// Its slices, in the order of their names.
    pub(super) slices: Vec<&'a Slice>,
    /// The policies that target it, the winning ones first.
    pub(super) policies: Vec<policies::Named<'a>>,
    /// The routes attached to it, in the order that decides ties.
    pub(super) routes: Vec<attachment::Named<'a>>,
    /// Cluster IPs and ports that an older Service has.
    pub(super) lost: Vec<(IpAddr, u16)>,
    /// Where everything stands.
    pub(super) topology: &'a Topology,
}

/// Compiles the plan of a Service.
pub(super) fn compile(facts: &Facts<'_>) -> ServicePlan {
    let ports = facts.service.ports.iter();
    ServicePlan {
        name: facts.name.clone(),
        ports: ports.map(|port| compile_port(facts, port)).collect(),
    }
}

fn compile_port(facts: &Facts<'_>, port: &ServicePort) -> PortPlan {
    let endpoints = endpoints_of(facts, port);
    let mut policies = Chain::default();
    policies.push_service(&facts.name.name, &port.name, &facts.policies);
    let balancing = policies.find(|policy| policy.backend.load_balancing.as_ref());
    let locality = balancing.map_or(Locality::default(), |(_, section)| section.locality);
    let mut families = Vec::new();
    for is_ipv6 in [false, true] {
        let cluster_ips: Vec<IpAddr> = facts
            .service
            .cluster_ips
            .iter()
            .filter(|ip| ip.is_ipv6() == is_ipv6 && !facts.lost.contains(&(*ip, port.port)))
            .collect();
        let of_family: Vec<(SocketAddr, &Endpoint)> = endpoints
            .iter()
            .filter(|(address, _)| address.is_ipv6() == is_ipv6)
            .map(|(address, endpoint)| (*address, *endpoint))
            .collect();
        if !cluster_ips.is_empty() || !of_family.is_empty() {
            families.push(compile_family(facts, cluster_ips, &of_family, locality));
        }
    }
    PortPlan {
        port: port.port,
        name: Some(&port.name).filter(|name| !name.is_empty()).cloned(),
        protocol: port.protocol,
        affinity_timeout_s: facts.service.affinity_timeout_s,
        routing: routing_of(facts, port, &policies),
        families,
    }
}

/// The endpoints of a port by address. An endpoint that several slices name counts once, at its best.
fn endpoints_of<'a>(facts: &Facts<'a>, port: &ServicePort) -> BTreeMap<SocketAddr, &'a Endpoint> {
    let mut endpoints = BTreeMap::new();
    for slice in &facts.slices {
        let Some(slice_port) = slice.ports.iter().find(|p| p.name == port.name) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let address = SocketAddr::new(endpoint.address, slice_port.port);
            match endpoints.entry(address) {
                Entry::Vacant(vacant) => {
                    vacant.insert(endpoint);
                }
                Entry::Occupied(mut known) => {
                    if fitness(endpoint) > fitness(known.get()) {
                        known.insert(endpoint);
                    }
                }
            }
        }
    }
    endpoints
}

const fn fitness(endpoint: &Endpoint) -> (bool, bool) {
    (endpoint.is_ready, endpoint.is_serving)
}

fn routing_of(facts: &Facts<'_>, port: &ServicePort, policies: &Chain<'_>) -> Routing {
    let closed = policies.find(|policy| policy.backend.is_closed_on_failure);
    let has_policy = attachment::is_routable(port.protocol) && policies.is_about_requests();
    let is_closed_on_failure = closed.is_some_and(|(_, is_closed)| is_closed);
    Attachment::of(facts.name, port, &facts.routes).routing(has_policy, is_closed_on_failure)
}

fn compile_family(
    facts: &Facts<'_>,
    cluster_ips: Vec<IpAddr>,
    endpoints: &[(SocketAddr, &Endpoint)],
    locality: Locality,
) -> FamilyPlan {
    let candidates: Vec<Candidate<'_>> = endpoints
        .iter()
        .map(|(_, endpoint)| Candidate {
            endpoint,
            rank: facts.topology.rank(endpoint),
            is_ready: endpoint.is_ready || facts.service.publishes_not_ready,
        })
        .collect();
    let (chosen, selection) = choose(&candidates, facts.service, locality, facts.topology);
    let plans = endpoints.iter().zip(&candidates).zip(&chosen);
    FamilyPlan {
        ipv6: endpoints
            .iter()
            .map(|(address, _)| address.is_ipv6())
            .chain(cluster_ips.iter().map(IpAddr::is_ipv6))
            .next()
            .unwrap_or(false),
        cluster_ips,
        endpoints: plans
            .map(
                |(((address, endpoint), candidate), is_in_use)| EndpointPlan {
                    address: *address,
                    workload: endpoint.workload.clone(),
                    pod: endpoint.pod.clone(),
                    node: endpoint.node.clone(),
                    zone: facts.topology.zone_of(endpoint).map(Arc::clone),
                    standing: standing(candidate, *is_in_use),
                },
            )
            .collect(),
        selection,
    }
}

const fn standing(candidate: &Candidate<'_>, is_in_use: bool) -> Standing {
    if is_in_use {
        Standing::InUse { weight: 1 }
    } else if candidate.is_ready {
        Standing::OtherLocality
    } else if candidate.endpoint.is_terminating {
        Standing::Terminating
    } else {
        Standing::NotReady
    }
}
