//! Claims about what requests are said to meet: manifests in, explanations out.

use super::super::{NoTarget, Plans};
use crate::api::{ExplainQuery, Explanation, Problem, RuleVerdict};
use crate::config::parse_file;
use crate::model::NodeIdentity;
use crate::plan::Catalog;
use std::path::Path;

/// `inventory` with a route and a policy of its own and a route of `lab`, and `spare`, which is direct but for `lab`.
const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: inventory, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: grpc, port: 50051, appProtocol: grpc}, {name: admin, port: 9000, appProtocol: tcp}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: inventory-1, namespace: shop, labels: {kubernetes.io/service-name: inventory}}
addressType: IPv4
ports: [{name: grpc, port: 8080}]
endpoints: [{addresses: [10.1.0.5]}, {addresses: [10.1.0.6], conditions: {ready: false}}]
---
apiVersion: v1
kind: Service
metadata: {name: spare, namespace: shop}
spec: {clusterIP: 10.96.0.11, ports: [{name: grpc, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: spare, namespace: lab}
spec: {clusterIP: 10.96.0.12, ports: [{name: grpc, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: none, namespace: shop}
spec: {clusterIP: None, ports: [{name: grpc, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: inventory, port: 50051}]
  rules:
  - name: testers
    matches: [{method: {service: a.S, method: Get}, headers: [{name: x-tester, value: 'yes'}]}]
    backendRefs: [{name: spare, port: 80}]
  - name: get
    matches: [{method: {service: a.S, method: Get}}]
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}]}}]
    backendRefs: [{name: inventory, port: 50051, weight: 9}, {name: gone, port: 1}]
  - name: set
    matches: [{method: {service: a.S, method: Set}}]
    backendRefs: [{name: gone, port: 1}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: own, namespace: lab}
spec:
  parentRefs: [{group: '', kind: Service, name: inventory, namespace: shop, port: 50051}, {group: '', kind: Service, name: spare, namespace: shop}]
  rules: [{backendRefs: [{name: inventory, namespace: shop, port: 50051}]}]
---
apiVersion: mesh.dev/v1alpha1
kind: MeshPolicy
metadata: {name: p, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: inventory, sectionName: grpc}]
  failureMode: Closed
  loadBalancing: {algorithm: RoundRobin}
  timeouts: {request: 1s}
  retry: {attempts: 1, codes: [UNAVAILABLE]}
";

fn plans(text: &str) -> Plans {
    let mut catalog = Catalog::new(NodeIdentity::named("node-a"));
    let parsed = parse_file(Path::new("a.yaml"), text.as_bytes());
    catalog.set_file(Path::new("a.yaml"), Some(parsed));
    Plans::of(&catalog)
}

fn query(to: &str, from: &str, method: &str) -> ExplainQuery {
    ExplainQuery {
        to: to.parse().unwrap(),
        from: (!from.is_empty()).then(|| from.parse().unwrap()),
        call: (!method.is_empty()).then(|| method.parse().unwrap()),
        headers: vec![],
    }
}

fn explained(to: &str, from: &str, method: &str) -> Result<Explanation, NoTarget> {
    plans(SHOP).explain(&query(to, from, method))
}

/// Path, rule met, destinations and answer.
fn told(explanation: &Explanation) -> String {
    let is_met = |verdict: RuleVerdict| verdict == RuleVerdict::Met;
    let mut rules = explanation.rules.iter();
    let met = rules.find(|judged| is_met(judged.verdict));
    let met = met.map_or("-", |judged| &judged.rule.name);
    let destinations: Vec<&str> = explanation
        .destinations
        .iter()
        .map(|destination| destination.to.as_deref().unwrap_or("nowhere"))
        .collect();
    let answer = explanation.answer.as_deref();
    let answer = answer.map_or_else(String::new, |answer| format!(" = {answer}"));
    format!(
        "{} {met} => {}{answer}",
        explanation.path,
        destinations.join(" ")
    )
}

#[test]
fn path_rule_and_answer_follow_from_service_caller_and_method() {
    let unavailable = "UNAVAILABLE (500 unless it is gRPC): there is no Service shop/gone";
    let set = format!("routed GRPCRoute shop/r rule set => nowhere = {unavailable}");
    for (to, from, method, expected) in [
        (
            "shop/inventory:grpc",
            "",
            "/a.S/Get",
            "routed GRPCRoute shop/r rule get => shop/inventory:50051 nowhere",
        ),
        ("10.96.0.10:50051", "shop/order", "a.S/Set", &*set),
        (
            "inventory:50051",
            "",
            "/grpc.health.v1.Health/Check",
            "routed - =>  = UNIMPLEMENTED (404 unless it is gRPC): no rule matches",
        ),
        (
            "inventory:50051",
            "lab/probe",
            "/b.T/Any",
            "routed GRPCRoute lab/own rule 0 => shop/inventory:50051",
        ),
        ("inventory:50051", "", "", "routed - => "),
        (
            "inventory:50051",
            "lab",
            "",
            "routed GRPCRoute lab/own rule 0 => shop/inventory:50051",
        ),
        (
            "inventory:9000",
            "",
            "",
            "direct - => shop/inventory:9000 = EHOSTUNREACH from connect(): no endpoint may be used",
        ),
        (
            "shop/spare",
            "shop",
            "",
            "direct - => shop/spare:80 = EHOSTUNREACH from connect(): no endpoint may be used",
        ),
        (
            "shop/spare",
            "lab",
            "",
            "routed GRPCRoute lab/own rule 0 => shop/inventory:50051",
        ),
        ("none", "", "", "direct - => shop/none:80"),
    ] {
        let explanation = explained(to, from, method).unwrap();
        assert_eq!(
            told(&explanation),
            expected,
            "{method} to {to} from {from:?}"
        );
    }
}

#[test]
fn the_path_has_a_reason() {
    for (to, from, named) in [
        (
            "inventory:grpc",
            "",
            "routes are attached: GRPCRoute shop/r",
        ),
        (
            "inventory:grpc",
            "",
            "; those from lab have routes of their own",
        ),
        (
            "inventory:grpc",
            "lab",
            "callers from lab have routes of their own: GRPCRoute lab/own",
        ),
        ("inventory:9000", "", "the port speaks tcp"),
        ("none:80", "", "headless"),
        ("shop/spare:80", "shop", "for callers from shop no route"),
        ("shop/spare:80", "", "those from lab have routes"),
        ("spare:80", "lab", "no route is attached and no policy"),
    ] {
        let why = explained(to, from, "").unwrap().why;
        assert!(why.contains(named), "{to} from {from:?}: {why}");
    }
}

#[test]
fn losers_say_why_and_the_winner_says_who_set_what() {
    let explanation = explained("inventory:grpc", "", "/a.S/Get").unwrap();
    let rules = explanation.rules.iter();
    let verdicts: Vec<_> = rules
        .map(|judged| (judged.verdict, judged.missing.join(" ")))
        .collect();
    assert_eq!(
        verdicts,
        [
            (
                RuleVerdict::Missed,
                "header x-tester is not there or different".to_owned()
            ),
            (RuleVerdict::Met, String::new()),
            (RuleVerdict::Missed, "another method".to_owned()),
        ]
    );
    assert_eq!(explanation.failure_mode, "Closed");
    let set_by = explanation.failure_mode_set_by.as_deref();
    assert_eq!(set_by, Some("MeshPolicy shop/p"));
    assert_eq!(explanation.edits, ["request: set x-a: b"]);
    let set = |sections: &[crate::api::Treatment]| -> Vec<String> {
        let sections = sections.iter();
        let told = sections.map(|section| {
            let set_by = section.set_by.as_deref().unwrap_or("default");
            format!("{}: {} [{set_by}]", section.section, section.says)
        });
        told.collect()
    };
    assert_eq!(
        set(&explanation.treatment),
        [
            "timeouts: request 1.0 s [MeshPolicy shop/p]",
            "retry: 1 attempt more on UNAVAILABLE, after 25.0 ms to 250.0 ms [MeshPolicy shop/p]",
        ]
    );
    let destination = &explanation.destinations[0];
    assert_eq!(
        set(&destination.treatment),
        [
            "loadBalancing: RoundRobin [MeshPolicy shop/p]",
            "retry.budget: 20 % of the requests of 10.0 s, at least 10 in 1.0 s [MeshPolicy shop/p]",
        ]
    );
    let endpoints = destination.endpoints.iter();
    let states: Vec<_> = endpoints
        .map(|endpoint| (endpoint.address.to_string(), endpoint.state.as_str()))
        .collect();
    assert_eq!(
        states,
        [
            ("10.1.0.5:8080".to_owned(), "in use"),
            ("10.1.0.6:8080".to_owned(), "not ready")
        ]
    );
    let lost = &explanation.destinations[1];
    assert_eq!(
        lost.problem.as_deref(),
        Some("there is no Service shop/gone")
    );
}

#[test]
fn a_policy_about_requests_is_named_where_no_route_is_attached() {
    let text = SHOP.replace("kind: GRPCRoute", "kind: Secret");
    let explanation = plans(&text)
        .explain(&query("inventory:50051", "", ""))
        .unwrap();
    assert_eq!(
        told(&explanation),
        "routed Service shop/inventory => shop/inventory:50051"
    );
    assert!(
        explanation.why.ends_with("MeshPolicy shop/p"),
        "{}",
        explanation.why
    );
}

/// An HTTPRoute beside the GRPCRoute, a route for a port that is not routed, and a Service that is wrong.
const BESIDE: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: inventory, port: 50051}]
  rules: [{backendRefs: [{name: inventory, port: 50051}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: admin, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: inventory, port: 9000}]
  rules: [{backendRefs: [{name: inventory, port: 50051}]}]
---
apiVersion: v1
kind: Service
metadata: {name: bad, namespace: shop}
spec: {clusterIP: nowhere}
";

/// Policies by namespace, name, Service and `timeouts.request`: one that is wrong, two in conflict at another Service, and a
/// wrong one of another namespace.
const POLICIES: [[&str; 4]; 4] = [
    ["shop", "wrong", "inventory", "soon"],
    ["shop", "one", "spare", "1s"],
    ["shop", "other", "spare", "2s"],
    ["far", "elsewhere", "x", "soon"],
];

fn policy([namespace, name, service, request]: [&str; 4]) -> String {
    format!(
        "
---
apiVersion: mesh.dev/v1alpha1
kind: MeshPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{targetRefs: [{{kind: Service, name: {service}}}], timeouts: {{request: {request}}}}}
"
    )
}

#[test]
fn routes_and_policies_that_are_not_in_force_are_told_with_their_reason() {
    let mut catalog = Catalog::new(NodeIdentity::named("node-a"));
    let text = format!("{SHOP}{BESIDE}{}", POLICIES.map(policy).concat());
    let parsed = parse_file(Path::new("a.yaml"), text.as_bytes());
    catalog.set_file(Path::new("a.yaml"), Some(parsed));
    let all: Vec<Problem> = catalog.problems().iter().map(Problem::from).collect();
    let plans = Plans::of(&catalog);
    let query = query("inventory:50051", "lab", "");
    let mut explanation = plans.explain(&query).unwrap();
    plans.add_problems(&mut explanation, &all);
    let told = |named: &str| -> Vec<&str> {
        let problems = explanation.problems.iter();
        let of_object = problems.filter(|problem| problem.object.as_deref() == Some(named));
        of_object.map(|problem| problem.text.as_str()).collect()
    };
    for (object, says) in [
        ("HTTPRoute shop/web", Some("Conflicted")),
        ("GRPCRoute shop/admin", Some("UnsupportedProtocol")),
        ("GRPCRoute shop/r", Some("there is no Service shop/gone")),
        ("MeshPolicy shop/wrong", Some("soon")),
        ("MeshPolicy shop/other", None),
        ("MeshPolicy far/elsewhere", None),
        ("Service shop/bad", None),
    ] {
        let told = told(object);
        match says {
            Some(says) => assert!(
                told.iter().any(|text| text.contains(says)),
                "{object}: {told:?}"
            ),
            None => assert!(told.is_empty(), "{object}: {told:?}"),
        }
    }
}

#[test]
fn what_names_no_port_or_several_says_so() {
    for (to, from, named) in [
        ("gone:80", "", "no service gone is in force"),
        ("lab/inventory:80", "", "no service lab/inventory"),
        ("spare:80", "", "lab/spare, shop/spare"),
        ("inventory", "", "9000 (admin), 50051 (grpc)"),
        ("inventory:81", "", "9000 (admin), 50051 (grpc)"),
        ("none:81", "", "80 (grpc)"),
        ("10.96.0.10:81", "", "the address 10.96.0.10:81"),
    ] {
        let error = explained(to, from, "").unwrap_err().to_string();
        assert!(error.contains(named), "{to}: {error}");
    }
}
