//! What is wrong between policies and what they target.

use super::{Finding, add};
use crate::model::{ObjectId, ObjectName, PolicyAim, PolicyTarget, Problem, Severity};
use crate::plan::attachment::is_routable;
use crate::plan::catalog::Catalog;
use crate::plan::policies::{Level, Named};
use crate::plan::routing::resolve;
use crate::plan::state::ServiceState;
use std::collections::BTreeMap;

/// Adds what is wrong with the policies that target a Service.
pub(super) fn check_of_service(
    catalog: &Catalog,
    name: &ObjectName,
    state: &ServiceState,
    problems: &mut Vec<Problem>,
) {
    let policies = state.policies();
    let mut levels = Vec::new();
    for named in &policies {
        for target in &named.policy.targets {
            let PolicyAim::Service(service, port) = &target.to else {
                continue;
            };
            if *service != name.name {
                continue;
            }
            let message = match state.service() {
                None => Some(format!(
                    "there is no Service {name}: the target has no effect"
                )),
                Some(service) => {
                    let mut ports = service.ports.iter();
                    let wanted =
                        |port_name: &str| port.as_deref().is_none_or(|port| port == port_name);
                    let is_known = port.is_none() || ports.any(|port| wanted(&port.name));
                    (!is_known).then(|| format!("Service {name} has no TCP port of this name"))
                }
            };
            warn(catalog, named, target, message, problems);
            warn(
                catalog,
                named,
                target,
                unsupported(name, state, named, port.as_deref()),
                problems,
            );
            levels.push(Level::Service(service, port.as_deref()));
        }
    }
    check_conflicts(catalog, &levels, &policies, problems);
}

/// Adds what is wrong with the policies that target a route.
pub(super) fn check_of_route(catalog: &Catalog, route: &ObjectId, problems: &mut Vec<Problem>) {
    let policies = catalog.references().policies_of(route);
    let found = catalog.references().route(route);
    let mut levels = Vec::new();
    for named in &policies {
        for target in &named.policy.targets {
            let PolicyAim::Route(kind, name, rule) = &target.to else {
                continue;
            };
            if *kind != route.kind || *name != route.name.name {
                continue;
            }
            let message = match found {
                None => Some(format!("there is no {route}: the target has no effect")),
                Some(found) => {
                    let has_rule = found.rules.iter().any(|known| known.name == *rule);
                    let is_known = rule.is_none() || has_rule;
                    (!is_known).then(|| format!("{route} has no rule of this name"))
                }
            };
            warn(catalog, named, target, message, problems);
            levels.push(Level::Route(route, rule.as_deref()));
        }
    }
    check_conflicts(catalog, &levels, &policies, problems);
}

/// Why a policy about requests does nothing for a port.
fn unsupported(
    name: &ObjectName,
    state: &ServiceState,
    named: &Named<'_>,
    port: Option<&str>,
) -> Option<String> {
    if !named.policy.is_about_requests() {
        return None;
    }
    let ports = &state.service()?.ports;
    let mut targeted = ports
        .iter()
        .filter(|known| port.is_none_or(|port| *port == *known.name));
    let direct = targeted.find(|port| !is_routable(port.protocol))?;
    Some(format!(
        "port {} of Service {name} does not speak HTTP/2 and stays direct (UnsupportedProtocol)",
        direct.port
    ))
}

fn warn(
    catalog: &Catalog,
    named: &Named<'_>,
    target: &PolicyTarget,
    message: Option<String>,
    problems: &mut Vec<Problem>,
) {
    let Some(message) = message else {
        return;
    };
    let finding = Finding {
        severity: Severity::Warning,
        path: format!("spec.targetRefs[{}]", target.index),
        value: Some(text(&target.to)),
        message,
        remedy: "target an existing Service port, route or rule that the mesh sees requests of",
    };
    add(catalog, named.id.kind, &named.id.name, finding, problems);
}

/// Of two policies that set one section for the same target the older, then the one whose name comes first, wins.
fn check_conflicts(
    catalog: &Catalog,
    levels: &[Level<'_>],
    sorted: &[Named<'_>],
    problems: &mut Vec<Problem>,
) {
    for (index, level) in levels.iter().enumerate() {
        if levels.iter().take(index).any(|known| known == level) {
            continue;
        }
        let mut taken: BTreeMap<&str, &Named<'_>> = BTreeMap::new();
        for named in sorted
            .iter()
            .filter(|named| level.is_target_of(named.policy))
        {
            for section in named.policy.sections() {
                let Some(winner) = taken.get(section) else {
                    taken.insert(section, named);
                    continue;
                };
                let finding = Finding {
                    severity: Severity::Error,
                    path: format!("spec.{section}"),
                    value: Some(level.to_string()),
                    message: format!(
                        "conflicts with {}, which comes first (older, else by name) and keeps the section (Conflicted)",
                        winner.id
                    ),
                    remedy: "set a section in one policy for each target",
                };
                add(catalog, named.id.kind, &named.id.name, finding, problems);
            }
        }
    }
}

/// Adds the policies whose fallback leads nowhere at the moment.
pub(super) fn check_fallbacks(catalog: &Catalog, problems: &mut Vec<Problem>) {
    for (id, name, port) in catalog.references().fallbacks() {
        let Err(reason) = resolve(catalog.states(), name, port) else {
            continue;
        };
        let finding = Finding {
            severity: Severity::Warning,
            path: "spec.fallback.backendRef".to_owned(),
            value: Some(format!("`{name}` port {port}")),
            message: format!("{reason}: the fallback answers UNAVAILABLE"),
            remedy: "add the Service, or repair the reference; it comes into force by itself then",
        };
        add(catalog, id.kind, &id.name, finding, problems);
    }
}

fn text(aim: &PolicyAim) -> String {
    match aim {
        PolicyAim::Service(name, None) => format!("`{name}`"),
        PolicyAim::Service(name, Some(port)) => format!("`{name}` port `{port}`"),
        PolicyAim::Route(_, name, None) => format!("`{name}`"),
        PolicyAim::Route(_, name, Some(rule)) => format!("`{name}` rule `{rule}`"),
    }
}
