//! Why connections to a service port take the path they take.

use super::target::Found;
use super::view::name_of;
use crate::model::{AppProtocol, Kind, ObjectId};
use crate::plan::PortPlan;
use crate::route::{Backend, RoutedPort, RuleSet};
use std::collections::BTreeSet;

/// The rules that hold for a caller, if its connections are routed, and why they are or are not.
pub(super) fn path_of<'a>(
    found: &Found<'_>,
    routed: Option<&'a RoutedPort>,
    caller: Option<&str>,
) -> (Option<&'a RuleSet>, String) {
    let port = found.port;
    if found
        .family
        .is_none_or(|family| family.cluster_ips.is_empty())
    {
        let why = "the Service is headless: callers connect to its endpoints' own addresses";
        return (None, why.to_owned());
    }
    if let Some(protocol @ (AppProtocol::Http | AppProtocol::Wss | AppProtocol::Tcp)) =
        port.protocol
    {
        let why = format!(
            "the port speaks {}, and only HTTP/2 can be routed",
            name_of(protocol)
        );
        return (None, why);
    }
    match routed.filter(|_| port.routing.is_routed_for(caller)) {
        Some(routed) => {
            let rules = routed.rules(caller);
            let consumer = caller.filter(|caller| routed.consumers.contains_key(*caller));
            let why = why_routed(rules, &routed.backend, consumer);
            (Some(rules), why + &others(routed, consumer))
        }
        None => (None, why_direct(port, caller)),
    }
}

/// Whose routes are others, unless it is one of theirs who calls.
fn others(routed: &RoutedPort, consumer: Option<&str>) -> String {
    if consumer.is_some() || routed.consumers.is_empty() {
        return String::new();
    }
    let namespaces = listed(routed.consumers.keys().map(ToString::to_string));
    format!("; those from {namespaces} have routes of their own")
}

fn why_routed(rules: &RuleSet, backend: &Backend, consumer: Option<&str>) -> String {
    let routes: BTreeSet<String> = rules
        .rules()
        .filter(|rule| rule.name.object.kind != Kind::Service)
        .map(|rule| rule.name.object.to_string())
        .collect();
    let routes = listed(routes);
    match consumer {
        Some(namespace) => format!("callers from {namespace} have routes of their own: {routes}"),
        None if routes.is_empty() => {
            let policies = listed(policies_about_requests(rules, backend));
            format!("no route is attached, but policies about requests are: {policies}")
        }
        None => format!("routes are attached: {routes}"),
    }
}

fn policies_about_requests(rules: &RuleSet, backend: &Backend) -> BTreeSet<String> {
    let of_backend = &backend.set_by;
    let of_calls = rules.rules().flat_map(|rule| {
        let by = &rule.set_by;
        [
            &by.timeouts,
            &by.retry,
            &by.rate_limit,
            &by.fault,
            &by.fallback,
        ]
    });
    let all: BTreeSet<&ObjectId> = [
        &of_backend.load_balancing,
        &of_backend.circuit_breaker,
        &of_backend.outlier_detection,
    ]
    .into_iter()
    .chain(of_calls)
    .flatten()
    .collect();
    all.into_iter().map(ToString::to_string).collect()
}

fn why_direct(port: &PortPlan, caller: Option<&str>) -> String {
    let consumers = &port.routing.consumer_namespaces;
    let why = "no route is attached and no policy is about requests";
    if consumers.is_empty() {
        return why.to_owned();
    }
    let who = match caller {
        Some(namespace) => format!("for callers from {namespace} {why}"),
        None => format!("for callers of unknown namespace {why}"),
    };
    let namespaces = listed(consumers.iter().map(ToString::to_string));
    format!("{who}; those from {namespaces} have routes of their own")
}

fn listed(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}
