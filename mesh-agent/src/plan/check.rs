//! What is wrong between objects: duplicates, conflicts, references that lead nowhere, capacity.

mod policy;
mod route;

use super::catalog::Catalog;
use super::state::ServiceState;
use crate::model::{Kind, ObjectId, ObjectLabel, ObjectName, Problem, Service, Severity};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Adds everything that no file shows by itself.
pub(super) fn check_across_files(catalog: &Catalog, problems: &mut Vec<Problem>) {
    check_duplicates(catalog, problems);
    for (name, state) in catalog.states() {
        match state.service() {
            Some(service) => {
                check_claims(catalog, name, service, problems);
                check_port_names(catalog, name, service, state, problems);
            }
            None => check_orphans(catalog, name, state, problems),
        }
        policy::check_of_service(catalog, name, state, problems);
        route::check_of_service(catalog, name, state, problems);
    }
    for route in catalog.references().targeted() {
        policy::check_of_route(catalog, route, problems);
    }
    policy::check_fallbacks(catalog, problems);
    for (id, found) in catalog.references().routes() {
        route::check_references(catalog, id, found, problems);
    }
    check_capacity(catalog, problems);
}

/// What is wrong with an object, and what to do.
struct Finding {
    severity: Severity,
    path: String,
    value: Option<String>,
    message: String,
    remedy: &'static str,
}

fn add(catalog: &Catalog, kind: Kind, name: &ObjectName, finding: Finding, to: &mut Vec<Problem>) {
    if let Some((file, line)) = catalog.place(kind, name) {
        let id = ObjectId {
            kind,
            name: name.clone(),
        };
        to.push(problem(file, line, &id, finding));
    }
}

fn problem(file: &Arc<Path>, line: u32, id: &ObjectId, finding: Finding) -> Problem {
    Problem {
        severity: finding.severity,
        file: Arc::clone(file),
        line,
        object: Some(ObjectLabel::from(id)),
        path: finding.path,
        value: finding.value,
        message: finding.message,
        remedy: finding.remedy.to_owned(),
    }
}

fn check_duplicates(catalog: &Catalog, problems: &mut Vec<Problem>) {
    for (id, declarations) in catalog.declarations().iter() {
        let Some(winner) = catalog.declarations().winner(id) else {
            continue;
        };
        let is_winner = |file: &Arc<Path>, line: u32| *file == winner.file && line == winner.line;
        for loser in declarations.iter().filter(|d| !is_winner(&d.file, d.line)) {
            let finding = Finding {
                severity: Severity::Error,
                path: "metadata.name".to_owned(),
                value: Some(id.name.to_string()),
                message: format!(
                    "the object is declared twice: {}:{} is in force",
                    winner.file.display(),
                    winner.line
                ),
                remedy: "remove one of the two",
            };
            problems.push(problem(&loser.file, loser.line, id, finding));
        }
    }
}

fn check_claims(
    catalog: &Catalog,
    name: &ObjectName,
    service: &Service,
    problems: &mut Vec<Problem>,
) {
    for ((ip, port), owner) in catalog.claims().lost(name, service) {
        let finding = Finding {
            severity: Severity::Error,
            path: "spec.clusterIPs".to_owned(),
            value: Some(format!("`{ip}` port {port}")),
            message: format!(
                "conflicts with Service {owner}, which comes first (older, else by name) and keeps the address"
            ),
            remedy: "give one of the two Services another cluster IP or port",
        };
        add(catalog, Kind::Service, name, finding, problems);
    }
}

/// A port that no slice names has no endpoint, which is rarely meant.
fn check_port_names(
    catalog: &Catalog,
    name: &ObjectName,
    service: &Service,
    state: &ServiceState,
    problems: &mut Vec<Problem>,
) {
    let named: BTreeSet<&str> = state
        .slices()
        .flat_map(|(_, slice)| slice.ports.iter().map(|port| &*port.name))
        .collect();
    for port in &service.ports {
        if service.cluster_ips.is_empty() || named.contains(&*port.name) {
            continue;
        }
        let others: Vec<String> = named.iter().map(|name| format!("`{name}`")).collect();
        let message = match others.as_slice() {
            [] => {
                "no EndpointSlice has a port for it: connections fail with EHOSTUNREACH".to_owned()
            }
            others => format!(
                "no EndpointSlice has a port of this name, only {}: connections fail with EHOSTUNREACH",
                others.join(", ")
            ),
        };
        let finding = Finding {
            severity: Severity::Warning,
            path: "spec.ports".to_owned(),
            value: Some(format!("port {} named `{}`", port.port, port.name)),
            message,
            remedy: "add an EndpointSlice whose port has the same name, labelled kubernetes.io/service-name",
        };
        add(catalog, Kind::Service, name, finding, problems);
    }
}

fn check_orphans(
    catalog: &Catalog,
    service: &ObjectName,
    state: &ServiceState,
    problems: &mut Vec<Problem>,
) {
    for (slice, _) in state.slices() {
        let finding = Finding {
            severity: Severity::Warning,
            path: "metadata.labels[\"kubernetes.io/service-name\"]".to_owned(),
            value: Some(format!("`{}`", service.name)),
            message: format!("there is no Service {service}: the endpoints are not in force"),
            remedy: "add the Service, or repair the label; it comes into force by itself then",
        };
        let name = sibling(service, slice);
        add(catalog, Kind::EndpointSlice, &name, finding, problems);
    }
}

fn sibling(of: &ObjectName, name: &Arc<str>) -> ObjectName {
    ObjectName {
        namespace: Arc::clone(&of.namespace),
        name: Arc::clone(name),
    }
}

fn check_capacity(catalog: &Catalog, problems: &mut Vec<Problem>) {
    let Some(capacity) = catalog.capacity() else {
        return;
    };
    let used = catalog.used();
    for (what, used, capacity, remedy) in [
        (
            "service ports",
            used.services,
            capacity.services,
            "raise --service-capacity and start the agent again",
        ),
        (
            "endpoints",
            used.endpoints,
            capacity.endpoints,
            "raise --endpoint-capacity and start the agent again",
        ),
    ] {
        if used > capacity {
            problems.push(Problem {
                severity: Severity::Error,
                file: Arc::from(Path::new("")),
                line: 0,
                object: None,
                path: String::new(),
                value: Some(used.to_string()),
                message: format!(
                    "more {what} than the capacity of {capacity}: some are not in force"
                ),
                remedy: remedy.to_owned(),
            });
        }
    }
}
