//! The order in which changes are applied: an address is given up before another Service gets it.

use super::{ServiceChange, ServicePlan};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

type Frontend = (IpAddr, u16);

/// Orders changes so that no address and port ever has two owners.
///
/// A Service that both gives up an address another one takes and takes one that another one gives up is changed
/// in two steps: first without what it takes.
pub(super) fn order(changes: Vec<ServiceChange>) -> Vec<ServiceChange> {
    let handed_over = handed_over(&changes);
    if handed_over.is_empty() {
        return removals_first(changes);
    }
    let mut giving = Vec::new();
    let mut rest = Vec::new();
    for change in changes {
        let old = frontends(change.old.as_deref());
        let new = frontends(change.new.as_deref());
        let gives = handed_over
            .iter()
            .any(|f| old.contains(f) && !new.contains(f));
        let takes: HashSet<Frontend> = handed_over
            .iter()
            .filter(|f| new.contains(f) && !old.contains(f))
            .copied()
            .collect();
        match (&change.new, gives) {
            (_, false) => rest.push(change),
            (Some(new), true) if !takes.is_empty() => {
                let between = Arc::new(without(new, &takes));
                giving.push(ServiceChange {
                    name: change.name.clone(),
                    old: change.old.clone(),
                    new: Some(Arc::clone(&between)),
                });
                rest.push(ServiceChange {
                    old: Some(between),
                    ..change
                });
            }
            (_, true) => giving.push(change),
        }
    }
    let mut ordered = removals_first(giving);
    ordered.extend(removals_first(rest));
    ordered
}

/// Removals make room in the kernel's maps for what is added.
fn removals_first(mut changes: Vec<ServiceChange>) -> Vec<ServiceChange> {
    changes.sort_by_key(|change| change.new.is_some());
    changes
}

/// Addresses that one change gives up and another takes.
fn handed_over(changes: &[ServiceChange]) -> HashSet<Frontend> {
    let mut given = HashMap::new();
    for (index, change) in changes.iter().enumerate() {
        let new = frontends(change.new.as_deref());
        for frontend in frontends(change.old.as_deref()) {
            if !new.contains(&frontend) {
                given.insert(frontend, index);
            }
        }
    }
    let mut handed_over = HashSet::new();
    for (index, change) in changes.iter().enumerate() {
        for frontend in frontends(change.new.as_deref()) {
            if given.get(&frontend).is_some_and(|giver| *giver != index) {
                handed_over.insert(frontend);
            }
        }
    }
    handed_over
}

fn frontends(plan: Option<&ServicePlan>) -> HashSet<Frontend> {
    let ports = plan.into_iter().flat_map(|plan| &plan.ports);
    let of_port = |port: &super::PortPlan| -> Vec<Frontend> {
        let ips = port.families.iter().flat_map(|family| &family.cluster_ips);
        ips.map(|ip| (*ip, port.port)).collect()
    };
    ports.flat_map(of_port).collect()
}

fn without(plan: &ServicePlan, frontends: &HashSet<Frontend>) -> ServicePlan {
    let mut plan = plan.clone();
    for port in &mut plan.ports {
        for family in &mut port.families {
            let number = port.port;
            family
                .cluster_ips
                .retain(|ip| !frontends.contains(&(*ip, number)));
        }
    }
    plan
}
