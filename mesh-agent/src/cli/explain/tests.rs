//! The report of a request, from the manifests that `config/shop/` shows.

use super::super::CommandLine;
use super::{Arguments, execute, report};
use crate::api::{Bound, CallerListeners, Problem, RuleVerdict, Severity, Treatment};
use crate::api::{Endpoint, ExplainedDestination, Explanation, JudgedRule, RouteRule};
use crate::cli::{Command, OutputFormat, Verdict};
use clap::Parser as _;

fn arguments(line: &[&str]) -> Arguments {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/shop");
    let line = ["mesh-agent", "explain", "--config", config]
        .into_iter()
        .chain(line.iter().copied());
    let Command::Explain(arguments) = CommandLine::try_parse_from(line).unwrap().command else {
        panic!("another command");
    };
    *arguments
}

#[test]
fn manifests_are_explained_without_an_agent() {
    for (line, verdict) in [
        (&["--to", "shop/inventory:50051"][..], Some(Verdict::Fine)),
        (
            &[
                "--to",
                "inventory:grpc",
                "--from",
                "shop",
                "--method",
                "/shop.v1.Inventory/GetItem",
                "-H",
                "x-tester: yes",
                "-H",
                "x-other:1",
            ][..],
            Some(Verdict::Fine),
        ),
        (&["--to", "shop/gone:1"][..], None),
    ] {
        let result = execute(&arguments(line), OutputFormat::Table);
        assert_eq!(result.ok(), verdict, "{line:?}");
    }
}

fn judged(name: &str, verdict: RuleVerdict, missing: &[&str]) -> JudgedRule {
    JudgedRule {
        rule: RouteRule {
            name: name.to_owned(),
            matches: vec!["a.S/*".to_owned()],
            backends: vec![],
            set_by: vec![],
        },
        verdict,
        missing: missing.iter().map(|text| (*text).to_owned()).collect(),
    }
}

fn treatment(section: &str, says: &str, set_by: Option<&str>) -> Treatment {
    Treatment {
        section: section.to_owned(),
        says: says.to_owned(),
        set_by: set_by.map(str::to_owned),
    }
}

fn destinations() -> Vec<ExplainedDestination> {
    let endpoint = Endpoint {
        service: "shop/inventory".to_owned(),
        port: 50_051,
        address: "10.1.0.5:8080".parse().unwrap(),
        workload: Some("shop/inventory".to_owned()),
        pod: None,
        node: None,
        zone: None,
        state: "in use".to_owned(),
        ejected_seconds: None,
        weight: 1,
    };
    let resolved = ExplainedDestination {
        to: Some("shop/inventory:50051".to_owned()),
        problem: None,
        weight: 9,
        selection: Some("every endpoint, whatever its locality".to_owned()),
        edits: vec![],
        treatment: vec![treatment("loadBalancing", "PeakEwma", None)],
        bounds: vec![],
        endpoints: vec![endpoint],
    };
    let lost = ExplainedDestination {
        to: None,
        problem: Some("there is no Service shop/gone".to_owned()),
        weight: 1,
        selection: None,
        treatment: vec![],
        endpoints: vec![],
        ..resolved.clone()
    };
    vec![resolved, lost]
}

fn explanation() -> Explanation {
    Explanation {
        service: "shop/inventory".to_owned(),
        port: 50_051,
        protocol: Some("grpc".to_owned()),
        address: Some("10.96.0.10".parse().unwrap()),
        caller_namespace: Some("shop".to_owned()),
        request: Some("POST /a.S/M".to_owned()),
        path: "routed".to_owned(),
        why: "routes are attached: GRPCRoute shop/r".to_owned(),
        failure_mode: "Closed".to_owned(),
        failure_mode_set_by: Some("MeshPolicy shop/p".to_owned()),
        listeners: None,
        rules: vec![
            judged("r0", RuleVerdict::Missed, &["another method"]),
            judged("r1", RuleVerdict::Met, &[]),
            judged("r2", RuleVerdict::Beaten, &[]),
        ],
        edits: vec!["request: set x-a: b".to_owned()],
        treatment: vec![treatment(
            "timeouts",
            "request 1.0 s",
            Some("MeshPolicy shop/p"),
        )],
        destinations: destinations(),
        answer: None,
        problems: vec![],
    }
}

#[test]
fn a_report_goes_from_the_request_to_its_endpoints() {
    assert_eq!(
        format!("\n{}", report(&explanation(), None)),
        "
request           POST /a.S/M to shop/inventory:50051 (10.96.0.10), from shop
path              routed: routes are attached: GRPCRoute shop/r
protocol          declared as grpc; a connection that does not begin as HTTP/2 is refused
failure mode      Closed: without the proxy, connections are refused (ECONNREFUSED)  [MeshPolicy shop/p]

RULE  MATCHES  VERDICT
r0    a.S/*    another method
r1    a.S/*    met
r2    a.S/*    matches too, but goes after

edit              request: set x-a: b
timeouts          request 1.0 s  [MeshPolicy shop/p]

to                shop/inventory:50051, 9 of 10
chosen            every endpoint, whatever its locality
loadBalancing     PeakEwma  [default]
ENDPOINT       WORKLOAD        NODE  ZONE  STATE   WEIGHT
10.1.0.5:8080  shop/inventory  -     -     in use       1

to                nowhere, 1 of 10
unresolved        there is no Service shop/gone
"
    );
}

#[test]
fn what_is_open_and_what_the_mesh_answers_is_said() {
    let mut explanation = explanation();
    explanation.rules[0].verdict = RuleVerdict::Open;
    explanation.answer = Some("UNIMPLEMENTED".to_owned());
    let text = report(&explanation, None);
    assert!(text.contains("say --method"), "{text}");
    assert!(
        text.contains("\nanswer            UNIMPLEMENTED\n"),
        "{text}"
    );
}

#[test]
fn what_holds_now_is_said_where_an_agent_was_asked() {
    let mut explanation = explanation();
    explanation.listeners = Some(CallerListeners {
        listening: 2,
        refused: vec!["no port is free".to_owned()],
        unknown: 1,
    });
    let bound = |what: &str, used, max| Bound {
        what: what.to_owned(),
        used,
        max,
    };
    explanation.destinations[0].bounds = vec![
        bound("connections", 3, None),
        bound("requests", 7, Some(9)),
        bound("pending", 4, Some(4)),
    ];
    let endpoint = &mut explanation.destinations[0].endpoints[0];
    endpoint.state = "ejected".to_owned();
    endpoint.ejected_seconds = Some(21.5);
    explanation.problems = vec![Problem {
        severity: Severity::Error,
        file: "a.yaml".to_owned(),
        line: 3,
        object: Some("HTTPRoute shop/web".to_owned()),
        path: String::new(),
        text: "a.yaml:3: HTTPRoute shop/web: conflicts".to_owned(),
    }];
    let text = report(&explanation, None);
    for line in [
        "listeners         in 2 network namespaces of shop",
        "bypassed          a network namespace of shop (bind_failed): no port is free",
        "under way         connections 3, requests 7 of 9, pending 4 of 4 (circuit open)",
        "10.1.0.5:8080  shop/inventory  -     -     ejected for 21.5 s       1",
        "error             a.yaml:3: HTTPRoute shop/web: conflicts",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}: {text}");
    }
    assert!(
        text.contains("\nunknown callers   1 network namespace: "),
        "{text}"
    );

    let nowhere = CallerListeners {
        listening: 0,
        refused: vec![],
        unknown: 0,
    };
    explanation.listeners = Some(nowhere);
    let text = report(&explanation, None);
    assert!(text.contains("in no network namespace of shop: "), "{text}");
}
