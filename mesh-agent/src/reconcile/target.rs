//! Finds the service port that somebody names.

use super::Plans;
use crate::api::{Caller, Target};
use crate::plan::{FamilyPlan, PortPlan, ServicePlan};
use std::net::SocketAddr;

/// Why nothing is explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// No such Service.
    #[error(
        "no service {0} is in force; `mesh-agent services` lists those that are, `mesh-agent status` what was rejected"
    )]
    NoService(String),
    /// No such cluster IP and port.
    #[error("no service in force has the address {0}")]
    NoAddress(SocketAddr),
    /// Several Services, and nothing says which.
    #[error("several services have that name: {0}; say which")]
    SeveralServices(String),
    /// No such port, or nothing says which.
    #[error("service {service} has {known}; say which, as {service}:PORT")]
    NoPort {
        /// `namespace/name`.
        service: String,
        /// The ports it has.
        known: String,
    },
}

/// A service port in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) service: &'a ServicePlan,
    pub(super) port: &'a PortPlan,
    /// The address family that the caller uses: IPv4 where nothing says otherwise. `None`: nothing is known of any.
    pub(super) family: Option<&'a FamilyPlan>,
}

/// Finds what `target` names. As with a name in DNS, the caller's own namespace goes first.
pub(super) fn find<'a>(
    plans: &'a Plans,
    target: &Target,
    caller: Option<&Caller>,
) -> Result<Found<'a>, NoTarget> {
    match target {
        Target::Address(address) => {
            by_address(plans, *address).ok_or(NoTarget::NoAddress(*address))
        }
        Target::Service {
            namespace,
            name,
            port,
        } => {
            let service = match namespace {
                Some(namespace) => named(plans, namespace, name)
                    .ok_or_else(|| NoTarget::NoService(format!("{namespace}/{name}")))?,
                None => by_name(plans, name, caller)?,
            };
            on_port(service, port.as_deref())
        }
    }
}

fn by_address(plans: &Plans, address: SocketAddr) -> Option<Found<'_>> {
    plans.ports().find_map(|(service, port)| {
        let mut families = port.families.iter();
        let family = families.find(|family| family.cluster_ips.contains(&address.ip()))?;
        (port.port == address.port()).then_some(Found {
            service,
            port,
            family: Some(family),
        })
    })
}

fn named<'a>(plans: &'a Plans, namespace: &str, name: &str) -> Option<&'a ServicePlan> {
    let mut services = plans.services.iter();
    let found =
        services.find(|plan| *plan.name.namespace == *namespace && *plan.name.name == *name)?;
    Some(&**found)
}

fn by_name<'a>(
    plans: &'a Plans,
    name: &str,
    caller: Option<&Caller>,
) -> Result<&'a ServicePlan, NoTarget> {
    let own = caller.and_then(|caller| named(plans, &caller.namespace, name));
    if let Some(own) = own {
        return Ok(own);
    }
    let services = plans.services.iter();
    let all: Vec<&ServicePlan> = services
        .map(|plan| &**plan)
        .filter(|plan| *plan.name.name == *name)
        .collect();
    match all[..] {
        [only] => Ok(only),
        [] => Err(NoTarget::NoService(name.to_owned())),
        _ => Err(NoTarget::SeveralServices(listed(
            all.iter().map(|plan| plan.name.to_string()),
        ))),
    }
}

fn on_port<'a>(service: &'a ServicePlan, wanted: Option<&str>) -> Result<Found<'a>, NoTarget> {
    let is_wanted = |port: &PortPlan| match wanted {
        Some(wanted) => port.name.as_deref() == Some(wanted) || port.port.to_string() == wanted,
        None => service.ports.len() == 1,
    };
    let port = service.ports.iter().find(|port| is_wanted(port));
    let port = port.ok_or_else(|| NoTarget::NoPort {
        service: service.name.to_string(),
        known: match &service.ports[..] {
            [] => "no TCP port".to_owned(),
            [only] => format!("one TCP port, {}", told(only)),
            ports => format!("the TCP ports {}", listed(ports.iter().map(told))),
        },
    })?;
    let reached = port
        .families
        .iter()
        .find(|family| !family.cluster_ips.is_empty());
    Ok(Found {
        service,
        port,
        family: reached.or_else(|| port.families.first()),
    })
}

fn told(port: &PortPlan) -> String {
    match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
