//! What is wrong between routes and the Services they name.

use super::{Finding, add};
use crate::model::{
    AppProtocol, Destination, MirrorRef, ObjectId, ObjectName, ParentRef, Problem, Route, Service,
    Severity,
};
use crate::plan::attachment::{Attachment, Named, is_routable};
use crate::plan::catalog::Catalog;
use crate::plan::routing::resolve;
use crate::plan::state::ServiceState;
use crate::route::RuleSet;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Adds what is wrong with the routes that are attached to a Service.
pub(super) fn check_of_service(
    catalog: &Catalog,
    name: &ObjectName,
    state: &ServiceState,
    problems: &mut Vec<Problem>,
) {
    let routes = state.routes();
    for (id, route) in &routes {
        let own = route
            .parents
            .iter()
            .filter(|parent| parent.service == *name);
        for parent in own {
            for message in parent_faults(name, state.service(), parent) {
                let finding = Finding {
                    severity: Severity::Warning,
                    path: format!("spec.parentRefs[{}]", parent.index),
                    value: Some(format!("`{}`", name.name)),
                    message,
                    remedy: "attach the route to an HTTP/2 port of an existing Service (appProtocol grpc or kubernetes.io/h2c)",
                };
                add(catalog, id.kind, &id.name, finding, problems);
            }
        }
    }
    check_ports(catalog, name, state, &routes, problems);
}

/// Why a route is not attached to a Service as its reference says.
fn parent_faults(name: &ObjectName, service: Option<&Service>, parent: &ParentRef) -> Vec<String> {
    let Some(service) = service else {
        return vec![format!(
            "there is no Service {name}: the route is not attached to it"
        )];
    };
    let targeted = || {
        let ports = service.ports.iter();
        ports.filter(|port| parent.is_for(port.port, &port.name))
    };
    if targeted().next().is_none() {
        return vec![format!(
            "Service {name} has no such TCP port (NoMatchingParent)"
        )];
    }
    let mut faults = Vec::new();
    if service.cluster_ips.is_empty() {
        faults.push(format!(
            "Service {name} has no cluster IP: connections straight to its endpoints are not routed"
        ));
    }
    let direct = targeted().filter(|port| !is_routable(port.protocol));
    faults.extend(direct.map(|port| {
        format!(
            "port {} of Service {name} does not speak HTTP/2 and stays direct (UnsupportedProtocol)",
            port.port
        )
    }));
    faults
}

/// Adds conflicts of kinds, each once, and sets of routes that leave requests over.
fn check_ports(
    catalog: &Catalog,
    name: &ObjectName,
    state: &ServiceState,
    routes: &[Named<'_>],
    problems: &mut Vec<Problem>,
) {
    let ports = state
        .service()
        .map_or(&[][..], |service| service.ports.as_slice());
    let mut told: BTreeSet<&ObjectId> = BTreeSet::new();
    let mut without: BTreeSet<&ObjectId> = BTreeSet::new();
    let mut retrying: BTreeSet<&ObjectId> = BTreeSet::new();
    for port in ports {
        let attachment = Attachment::of(name, port, routes);
        if port.protocol == Some(AppProtocol::Grpc) {
            let in_force = attachment.scopes().flat_map(|(_, routes)| routes);
            for (id, route) in in_force.filter(|(id, _)| retrying.insert(id)) {
                check_retries(catalog, id, route, problems);
            }
        }
        for ((loser, _), winner) in &attachment.conflicted {
            if told.insert(loser) {
                let finding = Finding {
                    severity: Severity::Error,
                    path: "spec.parentRefs".to_owned(),
                    value: Some(format!("`{}` port {}", name.name, port.port)),
                    message: format!(
                        "conflicts with {winner}: routes of two kinds are not merged, and gRPC goes first (Accepted=False, Conflicted)"
                    ),
                    remedy: "use one kind of route for a Service port",
                };
                add(catalog, loser.kind, &loser.name, finding, problems);
            }
        }
        for (_, routes) in attachment.scopes() {
            if let Some((id, _)) = routes.first()
                && !has_catch_all(routes)
                && without.insert(id)
            {
                let finding = Finding {
                    severity: Severity::Warning,
                    path: "spec.rules".to_owned(),
                    value: Some(format!("`{}` port {}", name.name, port.port)),
                    message: "no rule of the Service's routes takes every request: others, health checks and reflection too, get UNIMPLEMENTED (404)".to_owned(),
                    remedy: "add a rule without matches that sends them to the Service",
                };
                add(catalog, id.kind, &id.name, finding, problems);
            }
        }
    }
}

/// Adds what `retry` of an HTTPRoute does not do for gRPC.
fn check_retries(catalog: &Catalog, id: &ObjectId, route: &Route, problems: &mut Vec<Problem>) {
    for (index, rule) in route.rules.iter().enumerate() {
        if rule.retry.is_none() {
            continue;
        }
        let finding = Finding {
            severity: Severity::Warning,
            path: format!("spec.rules[{index}].retry"),
            value: None,
            message: "its codes are HTTP statuses, and a gRPC call that fails has 200: such calls are tried again only if their connection is lost or a try takes too long, and no MeshPolicy's retry holds for them".to_owned(),
            remedy: "leave retry out, and name statuses of gRPC in retry.codes of a MeshPolicy",
        };
        add(catalog, id.kind, &id.name, finding, problems);
    }
}

fn has_catch_all(routes: &[Named<'_>]) -> bool {
    let mut rules = routes.iter().flat_map(|(_, route)| &route.rules);
    rules.any(|rule| RuleSet::takes_everything(&rule.matches))
}

/// Adds the references of a route that lead nowhere at the moment.
pub(super) fn check_references(
    catalog: &Catalog,
    id: &ObjectId,
    route: &Route,
    problems: &mut Vec<Problem>,
) {
    for (index, rule) in route.rules.iter().enumerate() {
        let at = format!("spec.rules[{index}].backendRefs");
        let shares = rule.backends.iter();
        let backends = shares
            .clone()
            .map(|share| (format!("{at}[{}]", share.index), &share.to));
        let of_share = shares.flat_map(|share| &share.filters.mirrors);
        let mirrors = rule.filters.mirrors.iter().chain(of_share).map(mirror);
        for (path, to) in backends.chain(mirrors) {
            let Destination::Service(name, port) = to else {
                continue;
            };
            let Err(reason) = resolve(catalog.states(), name, *port) else {
                continue;
            };
            let finding = Finding {
                severity: Severity::Warning,
                path,
                value: Some(format!("`{name}` port {port}")),
                message: format!(
                    "{reason}: its share gets UNAVAILABLE, or 500 (ResolvedRefs=False)"
                ),
                remedy: "add the Service, or repair the reference; it comes into force by itself then",
            };
            add(catalog, id.kind, &id.name, finding, problems);
        }
    }
}

fn mirror(mirror: &MirrorRef) -> (String, &Destination) {
    (Arc::clone(&mirror.path).to_string(), &mirror.to)
}
