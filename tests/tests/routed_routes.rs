//! Which backend a request gets, asked for by a gRPC client: matches, precedence, weights.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::ask::{Answer, Asker, Question};
use mesh_tests::backends::{Backends, FRONT, front};
use mesh_tests::manifest::{documents, workload};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::process::Process;
use mesh_tests::route::Route;
use mesh_tests::routed::{await_routed, reside};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ECHO: &str = "mesh.test.Echo";
const SAY: &str = "/mesh.test.Echo/Say";

/// Names and values.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// Codes of gRPC.
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;

/// A caller of [`FRONT`]. Fields end in this order.
struct Scene {
    asker: Asker,
    agent: Agent,
    _resident: Process,
    _backends: Backends,
    _caller: Pod,
    _network: Network,
    _node: Node,
}

impl Scene {
    fn open(routes: &[Route]) -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller-0", Families::V4)?;
        let resident = reside(&caller)?;
        let (backends, mut manifests) = Backends::start(&node, &mut network)?;
        manifests.push(workload("caller", &[caller.ipv4()]));
        manifests.extend(routes.iter().map(Route::manifest));
        node.config().put("all.yaml", &documents(manifests))?;
        let agent = node.start_agent(&[])?;
        await_routed(&agent, &caller, front())?;
        let asker = Asker::start(&caller, front())?;
        Ok(Self {
            asker,
            agent,
            _resident: resident,
            _backends: backends,
            _caller: caller,
            _network: network,
            _node: node,
        })
    }

    fn ask(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.asker.ask(&Question::new(path, headers))
    }

    /// Asks so often; gives how often each server answered.
    fn shares(&mut self, count: u32) -> Result<BTreeMap<String, u32>> {
        let mut shares = BTreeMap::new();
        for _ in 0..count {
            let answer = self.ask(SAY, &[])?;
            assert_eq!(answer.status, 0, "{answer:?}");
            *shares.entry(answer.identity).or_default() += 1;
        }
        Ok(shares)
    }
}

fn service(name: &str) -> Value {
    json!([{ "method": { "service": name } }])
}

fn method(name: &str) -> Value {
    json!([{ "method": { "service": ECHO, "method": name } }])
}

fn header(name: &str, value: &str) -> Value {
    json!([{ "method": { "service": ECHO }, "headers": [{ "name": name, "value": value }] }])
}

#[test]
fn the_most_specific_match_wins_wherever_it_stands() -> Result {
    let any = Value::Null;
    let two_headers = json!([{ "method": { "service": ECHO }, "headers": [
        { "name": "x-team", "value": "red" }, { "name": "x-user", "value": "ann" },
    ] }]);
    let pattern = json!([{ "method": { "service": ECHO }, "headers": [
        { "type": "RegularExpression", "name": "x-version", "value": "v[0-9]+" },
    ] }]);
    let route = Route::grpc("front", FRONT)
        .rule(&any, &[(FRONT, 1)])
        .rule(&pattern, &[("blue", 1)])
        .rule(&service(ECHO), &[("green", 1)])
        .rule(&header("x-team", "red"), &[(FRONT, 1)])
        .rule(&two_headers, &[("blue", 1)])
        .rule(&method("Say"), &[("blue", 1)]);
    let mut scene = Scene::open(&[route])?;
    let red = ("x-team", "red");
    let other = "/mesh.test.Echo/Other";
    let cases: [(&str, Headers<'_>, &str, &str); 8] = [
        (SAY, &[], "blue", "service and method"),
        (SAY, &[red], "blue", "a method before a header"),
        (other, &[], "green", "service"),
        (other, &[red], FRONT, "service and a header"),
        (other, &[("x-team", "blue")], "green", "another value"),
        (
            other,
            &[red, ("x-user", "ann")],
            "blue",
            "two headers before one",
        ),
        (other, &[("x-version", "v12")], "blue", "an expression"),
        (
            other,
            &[("x-version", "v12x")],
            "green",
            "an anchored expression",
        ),
    ];
    for (path, headers, wanted, why) in cases {
        let answer = scene.ask(path, headers)?;
        assert_eq!(answer.identity, wanted, "{why}: {answer:?}");
    }
    Ok(())
}

#[test]
fn of_two_routes_that_match_alike_the_older_one_holds_and_then_the_first_by_name() -> Result {
    let route =
        |name: &str, backend| Route::grpc(name, FRONT).rule(&method("Say"), &[(backend, 1)]);
    let old = "2020-01-01T00:00:00Z";
    let young = "2021-01-01T00:00:00Z";
    let cases = [
        (
            [
                route("a", "blue").made_at(young),
                route("b", "green").made_at(old),
            ],
            "green",
        ),
        (
            [
                route("a", "blue").made_at(old),
                route("b", "green").made_at(old),
            ],
            "blue",
        ),
        (
            [route("a", "blue"), route("b", "green").made_at(young)],
            "green",
        ),
        ([route("b", "blue"), route("a", "green")], "green"),
    ];
    for (routes, wanted) in cases {
        let mut scene = Scene::open(&routes)?;
        let answer = scene.ask(SAY, &[])?;
        assert_eq!(answer.identity, wanted, "{routes:?}: {answer:?}");
    }
    Ok(())
}

#[test]
fn what_no_rule_matches_is_unimplemented_by_the_mesh() -> Result {
    let route = Route::grpc("front", FRONT).rule(&method("Say"), &[(FRONT, 1)]);
    let mut scene = Scene::open(&[route])?;
    assert_eq!(scene.ask(SAY, &[])?.identity, FRONT);
    let answer = scene.ask("/grpc.health.v1.Health/Check", &[])?;
    assert_eq!(answer.status, UNIMPLEMENTED, "{answer:?}");
    assert!(answer.header("mesh-error").is_some(), "{answer:?}");
    scene.agent.expect("mesh_local_replies_total", &[], 1)
}

#[test]
fn a_backend_gets_its_share_by_weight_and_none_by_weight_zero() -> Result {
    let route =
        Route::grpc("front", FRONT).rule(&Value::Null, &[(FRONT, 90), ("blue", 10), ("green", 0)]);
    let mut scene = Scene::open(&[route])?;
    let shares = scene.shares(3_000)?;
    assert_eq!(shares.get("green"), None, "{shares:?}");
    // 300 expected; five standard deviations are 82.
    assert!((218..=382).contains(&shares["blue"]), "{shares:?}");
    Ok(())
}

#[test]
fn the_share_of_weights_that_are_all_zero_and_of_missing_backends_is_unavailable() -> Result {
    for backends in [[("blue", 0), ("green", 0)], [("nobody", 1), ("blue", 0)]] {
        let route = Route::grpc("front", FRONT)
            .rule(&method("Say"), &backends)
            .rule(&Value::Null, &[(FRONT, 1)]);
        let mut scene = Scene::open(&[route])?;
        let answer = scene.ask(SAY, &[])?;
        assert_eq!(answer.status, UNAVAILABLE, "{backends:?}: {answer:?}");
        assert!(answer.header("mesh-error").is_some(), "{answer:?}");
        let other = scene.ask("/mesh.test.Echo/Other", &[])?;
        assert_eq!(other.identity, FRONT, "{backends:?}: {other:?}");
    }
    Ok(())
}
