//! What a request would meet, of what is in force.

use super::Plans;
use super::reason::path_of;
use super::routes::{failure_mode, route_rule};
use super::target::{Found, NoTarget, find};
use super::treatment;
use super::view::{DIRECT, ROUTED, endpoint, name_of};
use crate::api::{
    Call, ExplainQuery, ExplainedDestination, Explanation, Header, JudgedRule, Problem,
    RuleVerdict, Severity,
};
use crate::model::{Kind, ObjectId};
use crate::plan::{FamilyPlan, PortPlan, ServicePlan, Standing};
use crate::route::{
    Backend, Choice, RequestHead, RoutedPort, Rule, RuleSet, Share, Verdict, explain,
};
use http::HeaderMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// The answer where nothing is there to give a better one.
const NOBODY: &str = "UNAVAILABLE (503): no endpoint may be used";

impl Plans {
    /// Says what a request would meet.
    ///
    /// # Errors
    /// If it is to no service port in force, or to several.
    pub fn explain(&self, query: &ExplainQuery) -> Result<Explanation, NoTarget> {
        let found = find(self, &query.to, query.from.as_ref())?;
        let caller = query.from.as_ref().map(|from| from.namespace.as_str());
        let routed = self.routed_port(&found);
        let (rules, why) = path_of(&found, routed, caller);
        let Found {
            service,
            port,
            family,
        } = found;
        let mut explanation = Explanation {
            service: service.name.to_string(),
            port: port.port,
            protocol: port.protocol.map(|protocol| name_of(protocol).to_owned()),
            address: family.and_then(|family| family.cluster_ips.first().copied()),
            caller_namespace: caller.map(str::to_owned),
            request: query.call.as_ref().map(ToString::to_string),
            path: if rules.is_some() { ROUTED } else { DIRECT }.to_owned(),
            why,
            failure_mode: failure_mode(port.routing.is_closed_on_failure).to_owned(),
            failure_mode_set_by: routed.and_then(|routed| said_by(&routed.failure_mode_set_by)),
            listeners: None,
            rules: vec![],
            edits: vec![],
            treatment: vec![],
            destinations: vec![],
            answer: None,
            problems: vec![],
        };
        match rules {
            Some(rules) => self.route(rules, query, &mut explanation),
            None => go_directly(&found, &mut explanation),
        }
        Ok(explanation)
    }

    /// What holds for the port that is called, if it is routed for anybody.
    fn routed_port(&self, found: &Found<'_>) -> Option<&RoutedPort> {
        let address = found.family?.cluster_ips.first()?;
        let at = SocketAddr::new(*address, found.port.port);
        self.routes.port(at).map(|port| &**port)
    }

    /// Adds what is wrong with the routes and policies of the Service: those in force, and those that are not and may be meant for
    /// it, since they are of its namespace or the caller's.
    pub fn add_problems(&self, explanation: &mut Explanation, all: &[Problem]) {
        let service = &explanation.service;
        let about: BTreeSet<String> = self
            .about
            .iter()
            .filter(|(name, _)| name.to_string() == *service)
            .flat_map(|(_, objects)| objects.iter().map(ToString::to_string))
            .collect();
        let own = service.split_once('/').map(|(namespace, _)| namespace);
        let namespaces = [own, explanation.caller_namespace.as_deref()];
        let concerns = |problem: &&Problem| {
            let Some(object) = &problem.object else {
                return false;
            };
            let namespace = namespace_of_traffic_object(object);
            let may_be_meant = problem.severity == Severity::Error
                && namespace.is_some_and(|namespace| namespaces.contains(&Some(namespace)))
                && !self.is_about_any(object);
            about.contains(object) || may_be_meant
        };
        explanation.problems = all.iter().filter(concerns).cloned().collect();
    }

    /// Whether a route or policy is known to be about some Service.
    fn is_about_any(&self, object: &str) -> bool {
        let mut known = self.about.values().flatten();
        known.any(|id| id.to_string() == object)
    }

    fn route(&self, rules: &RuleSet, query: &ExplainQuery, explanation: &mut Explanation) {
        let judged = judge(rules, query.call.as_ref(), &query.headers);
        let is_met = |(_, verdict, _): &&(_, RuleVerdict, _)| *verdict == RuleVerdict::Met;
        let met = judged
            .iter()
            .find(is_met)
            .map(|(rule, ..)| Arc::clone(rule));
        let is_open = judged
            .iter()
            .any(|(_, verdict, _)| *verdict == RuleVerdict::Open);
        explanation.rules = judged
            .into_iter()
            .map(|(rule, verdict, missing)| JudgedRule {
                rule: route_rule(rules, &rule),
                verdict,
                missing,
            })
            .collect();
        if let Some(rule) = met {
            explanation.edits =
                treatment::edits(&rule.request_headers, &rule.response_headers, &rule.mirrors);
            explanation.treatment = treatment::of_rule(&rule);
            explanation.destinations = rule
                .backends
                .iter()
                .map(|share| self.destination(share))
                .collect();
            explanation.answer = answer_of(&rule);
        } else if !is_open {
            explanation.answer =
                Some("UNIMPLEMENTED (404 unless it is gRPC): no rule matches".to_owned());
        }
    }

    fn destination(&self, share: &Share) -> ExplainedDestination {
        let edits = treatment::edits(
            &share.request_headers,
            &share.response_headers,
            &share.mirrors,
        );
        let mut destination = ExplainedDestination {
            to: None,
            problem: None,
            weight: share.weight,
            selection: None,
            edits,
            treatment: vec![],
            bounds: vec![],
            endpoints: vec![],
        };
        match &share.to {
            Ok(backend) => {
                destination.to = Some(format!("{}:{}", backend.name, backend.port));
                destination.treatment = treatment::of_backend(backend);
                if let Some((service, port, family)) = self.family_of(backend) {
                    add_endpoints(service, port, family, &mut destination);
                }
            }
            Err(problem) => destination.problem = Some(problem.to_string()),
        }
        destination
    }

    /// The endpoints that a backend was made from.
    fn family_of(&self, backend: &Backend) -> Option<(&ServicePlan, &PortPlan, &FamilyPlan)> {
        let (service, port) = self
            .ports()
            .find(|(service, port)| service.name == backend.name && port.port == backend.port)?;
        let mut families = port.families.iter();
        let family = families.find(|family| family.ipv6 == backend.is_ipv6)?;
        Some((service, port, family))
    }
}

/// The namespace of `kind namespace/name`, if that is a route or policy.
fn namespace_of_traffic_object(object: &str) -> Option<&str> {
    let (kind, name) = object.split_once(' ')?;
    let kinds = [
        Kind::GrpcRoute,
        Kind::HttpRoute,
        Kind::MeshPolicy,
        Kind::BackendTrafficPolicy,
    ];
    let is_traffic = kinds.iter().any(|known| known.as_str() == kind);
    let (namespace, _) = name.split_once('/')?;
    is_traffic.then_some(namespace)
}

fn said_by(policy: &Option<ObjectId>) -> Option<String> {
    policy.as_ref().map(ToString::to_string)
}

/// How each rule fares with a request, and what the request lacks.
fn judge(
    rules: &RuleSet,
    call: Option<&Call>,
    headers: &[Header],
) -> Vec<(Arc<Rule>, RuleVerdict, Vec<String>)> {
    let Some(call) = call else {
        return judge_any(rules);
    };
    let mut map = HeaderMap::new();
    for header in headers {
        map.append(&header.name, header.value.clone());
    }
    let head = RequestHead {
        method: &call.method,
        path: &call.path,
        headers: &map,
    };
    let judged = explain(rules, &head).into_iter();
    judged
        .map(|(rule, verdict)| match verdict {
            Verdict::Met => (rule, RuleVerdict::Met, vec![]),
            Verdict::Beaten => (rule, RuleVerdict::Beaten, vec![]),
            Verdict::Missed(missing) => {
                let missing = missing.iter().map(ToString::to_string).collect();
                (rule, RuleVerdict::Missed, missing)
            }
        })
        .collect()
}

/// How each rule fares with requests of which nothing is known: the first is met if it wants nothing, since then no other does.
fn judge_any(rules: &RuleSet) -> Vec<(Arc<Rule>, RuleVerdict, Vec<String>)> {
    let first = rules.rules().next();
    let is_met_by_all = first.is_some_and(|first| {
        let mut matches = rules.matches_of(first);
        let best = matches.next();
        best.is_none_or(|best| RuleSet::takes_everything(std::slice::from_ref(best)))
    });
    let judged = rules.rules().enumerate().map(|(index, rule)| {
        let verdict = match index {
            _ if !is_met_by_all => RuleVerdict::Open,
            0 => RuleVerdict::Met,
            _ => RuleVerdict::Beaten,
        };
        (Arc::clone(rule), verdict, vec![])
    });
    judged.collect()
}

/// What requests that meet a rule get without any endpoint being asked; `None`: some go to endpoints.
fn answer_of(rule: &Rule) -> Option<String> {
    let mut shares = rule.backends.iter().filter(|share| share.weight > 0);
    let is_dead = |share: &Share| share.to.as_ref().is_ok_and(|to| to.endpoints.is_empty());
    let is_lost = |share: &Share| share.to.is_err() || is_dead(share);
    if !shares.all(is_lost) {
        return None;
    }
    match rule.choose(0) {
        Choice::Nowhere(why) => Some(format!("UNAVAILABLE (500 unless it is gRPC): {why}")),
        Choice::To(..) => {
            let traffic = rule.traffic.fallback.as_ref();
            let falls_back = traffic.is_some_and(|fallback| fallback.on.no_endpoint);
            Some(if falls_back {
                "the fallback's: no endpoint may be used".to_owned()
            } else {
                NOBODY.to_owned()
            })
        }
    }
}

fn go_directly(found: &Found<'_>, explanation: &mut Explanation) {
    let Found {
        service,
        port,
        family,
    } = found;
    let mut destination = ExplainedDestination {
        to: Some(format!("{}:{}", service.name, port.port)),
        problem: None,
        weight: 1,
        selection: None,
        edits: vec![],
        treatment: vec![],
        bounds: vec![],
        endpoints: vec![],
    };
    if let Some(family) = family {
        add_endpoints(service, port, family, &mut destination);
    }
    explanation.destinations = vec![destination];
    let is_in_use = |family: &&FamilyPlan| {
        let mut endpoints = family.endpoints.iter();
        endpoints.any(|endpoint| matches!(endpoint.standing, Standing::InUse { .. }))
    };
    if explanation.address.is_some() && family.as_ref().filter(|family| is_in_use(family)).is_none()
    {
        explanation.answer =
            Some("EHOSTUNREACH from connect(): no endpoint may be used".to_owned());
    }
}

fn add_endpoints(
    service: &ServicePlan,
    port: &PortPlan,
    family: &FamilyPlan,
    to: &mut ExplainedDestination,
) {
    let selection = &family.selection;
    let draining = if selection.is_draining {
        "; none is ready, and terminating ones that still serve stand in"
    } else {
        ""
    };
    to.selection = Some(format!("{}{draining}", selection.rule));
    let endpoints = family.endpoints.iter();
    to.endpoints = endpoints
        .map(|plan| endpoint(service, port, plan))
        .collect();
}

#[cfg(test)]
mod tests;
