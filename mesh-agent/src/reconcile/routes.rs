//! What is routed, as the admin server shows it.

use crate::api::{RouteBackend, RouteRule, RoutedPort, Routes, RuleSet};
use crate::model::ObjectId;
use crate::route::{self, RouteTable, Rule, Share};
use std::net::SocketAddr;

impl From<&RouteTable> for Routes {
    fn from(table: &RouteTable) -> Self {
        let mut ports: Vec<(SocketAddr, &route::RoutedPort)> =
            table.ports().map(|(at, port)| (at, &**port)).collect();
        ports.sort_by_key(|(at, port)| (&port.service, *at));
        Self {
            ports: ports
                .into_iter()
                .map(|(at, port)| routed_port(at, port))
                .collect(),
        }
    }
}

fn routed_port(at: SocketAddr, port: &route::RoutedPort) -> RoutedPort {
    let own = port
        .consumers
        .iter()
        .map(|(namespace, rules)| (Some(namespace.to_string()), rules));
    let sets = [(None, &port.producer)].into_iter().chain(own);
    RoutedPort {
        service: port.service.to_string(),
        port: port.port,
        ipv6: at.is_ipv6(),
        failure_mode: failure_mode(port.is_closed_on_failure).to_owned(),
        rule_sets: sets
            .map(|(callers, rules)| RuleSet {
                callers,
                rules: rules.rules().map(|rule| route_rule(rules, rule)).collect(),
            })
            .collect(),
    }
}

/// `failureMode` as a MeshPolicy has it.
pub(super) const fn failure_mode(is_closed: bool) -> &'static str {
    if is_closed { "Closed" } else { "Open" }
}

pub(super) fn route_rule(set: &route::RuleSet, rule: &Rule) -> RouteRule {
    let by = &rule.set_by;
    let sections: [(&str, &Option<ObjectId>); 5] = [
        ("timeouts", &by.timeouts),
        ("retry", &by.retry),
        ("rateLimit", &by.rate_limit),
        ("fault", &by.fault),
        ("fallback", &by.fallback),
    ];
    let set_by = sections.into_iter().filter_map(|(section, id)| {
        let id = id.as_ref()?;
        Some((section.to_owned(), id.to_string()))
    });
    RouteRule {
        name: rule.name.to_string(),
        matches: set.matches_of(rule).map(ToString::to_string).collect(),
        backends: rule.backends.iter().map(backend).collect(),
        set_by: set_by.collect(),
    }
}

fn backend(share: &Share) -> RouteBackend {
    let backend = share.to.as_ref().ok();
    RouteBackend {
        to: backend.map(|backend| format!("{}:{}", backend.name, backend.port)),
        problem: share.to.as_ref().err().map(ToString::to_string),
        weight: share.weight,
        endpoints: backend.map_or(0, |backend| backend.endpoints.len()),
    }
}
