//! What a request would meet, of what is in force.

use super::Plans;
use super::routes::{failure_mode, route_rule};
use super::target::{Found, NoTarget, find};
use super::treatment;
use super::view::{DIRECT, ROUTED, endpoint, name_of};
use crate::api::{
    Call, ExplainQuery, ExplainedDestination, Explanation, Header, JudgedRule, RuleVerdict,
};
use crate::model::{AppProtocol, Kind, ObjectId};
use crate::plan::{FamilyPlan, PortPlan, ServicePlan, Standing};
use crate::route::{Backend, Choice, RequestHead, Rule, RuleSet, Share, Verdict, explain};
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
        let (rules, why) = self.path_of(&found, caller);
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
            rules: vec![],
            edits: vec![],
            treatment: vec![],
            destinations: vec![],
            answer: None,
        };
        match rules {
            Some(rules) => self.route(rules, query, &mut explanation),
            None => go_directly(&found, &mut explanation),
        }
        Ok(explanation)
    }

    /// The rules that hold for a caller, if its connections are routed, and why they are or are not.
    fn path_of(&self, found: &Found<'_>, caller: Option<&str>) -> (Option<&RuleSet>, String) {
        let port = found.port;
        let address = found.family.and_then(|family| family.cluster_ips.first());
        let Some(address) = address else {
            let why = "the Service is headless: callers connect to its endpoints' own addresses";
            return (None, why.to_owned());
        };
        if let Some(protocol @ (AppProtocol::Http | AppProtocol::Wss | AppProtocol::Tcp)) =
            port.protocol
        {
            let why = format!(
                "the port speaks {}, and only HTTP/2 can be routed",
                name_of(protocol)
            );
            return (None, why);
        }
        let routed = self.routes.port(SocketAddr::new(*address, port.port));
        match routed.filter(|_| port.routing.is_routed_for(caller)) {
            Some(routed) => {
                let rules = routed.rules(caller);
                let consumer = caller.filter(|caller| routed.consumers.contains_key(*caller));
                (Some(rules), why_routed(rules, &routed.backend, consumer))
            }
            None => (None, why_direct(port, caller)),
        }
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

fn listed(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
