//! Any text as manifests, from the file to the rule that a request meets.

use http::{HeaderMap, Method};
use mesh_agent::config::parse_file;
use mesh_agent::model::NodeIdentity;
use mesh_agent::plan::Catalog;
use mesh_agent::route::{Choice, RequestHead, RouteTable, RuleSet, explain};
use std::path::Path;

/// What stands beside the text, so that its routes and policies find Services to be attached to.
const BESIDE: &str = include_str!("../corpus/beside.yaml");

/// Paths of requests: some of gRPC, and some that nobody should send.
const PATHS: [&str; 6] = [
    "/shop.Inventory/Get",
    "/shop.Inventory/GetAll?x=1&y",
    "/v1/items",
    "/",
    "*",
    "/%ff/\u{e9}//?&=&",
];

/// Headers of requests, each at the end of those before it.
const HEADERS: [(&str, &str); 4] = [
    ("content-type", "application/grpc"),
    ("x-user", "ann"),
    ("x-canary", "true"),
    ("x-user", "bob"),
];

/// Reads a text as a file of manifests and puts it into force beside others, then takes it away again.
///
/// # Panics
/// When something panics, when the same text twice is a change, when what is in force depends on the order of files, or when
/// something of the text stays.
pub fn check_routes(text: &[u8]) {
    let (beside, own) = (Path::new("beside.yaml"), Path::new("own.yaml"));
    let parse = |path: &Path, text: &[u8]| Some(parse_file(path, text));
    let mut catalog = Catalog::new(NodeIdentity::named("node-a"));
    catalog.set_file(beside, parse(beside, BESIDE.as_bytes()));
    let without = RouteTable::clone(catalog.routes());

    catalog.set_file(own, parse(own, text));
    let with = RouteTable::clone(catalog.routes());
    for problem in catalog.problems() {
        assert!(!problem.to_string().is_empty());
    }
    assert!(catalog.rejected() <= catalog.problems().len());
    look_up(&with);

    let again = catalog.set_file(own, parse(own, text));
    assert!(again.changes.is_empty(), "{:?}", again.changes);
    assert_eq!(RouteTable::clone(catalog.routes()), with);

    let mut other = Catalog::new(NodeIdentity::named("node-a"));
    other.set_file(own, parse(own, text));
    other.set_file(beside, parse(beside, BESIDE.as_bytes()));
    // Of two objects with one name, or one address, the first stays.
    let is_apart = catalog.rejected() == 0 && other.rejected() == 0;
    assert!(!is_apart || RouteTable::clone(other.routes()) == with);

    catalog.set_file(own, None);
    assert_eq!(RouteTable::clone(catalog.routes()), without);
}

/// Requests of every kind at every port.
fn look_up(table: &RouteTable) {
    for (at, port) in table.ports() {
        assert!(table.port(at).is_some());
        for caller in [None, Some("shop"), Some("elsewhere")] {
            let rules = port.rules(caller);
            for path in PATHS {
                for method in [Method::POST, Method::GET, Method::OPTIONS] {
                    requests(rules, &method, path);
                }
            }
        }
    }
}

fn requests(rules: &RuleSet, method: &Method, path: &str) {
    let mut headers = HeaderMap::new();
    for (name, value) in HEADERS {
        let head = RequestHead {
            method,
            path,
            headers: &headers,
        };
        let met = rules.find(&head);
        let verdicts = explain(rules, &head);
        // What explains is what finds.
        let first = verdicts
            .iter()
            .find(|(_, verdict)| *verdict == mesh_agent::route::Verdict::Met);
        assert_eq!(met, first.map(|(rule, _)| rule));
        if let Some(rule) = met {
            let mut edited = headers.clone();
            rule.request_headers.apply(&mut edited);
            rule.response_headers.apply(&mut edited);
            for random in [0, 1 << 31, u32::MAX] {
                match rule.choose(random) {
                    Choice::To(backend, share) => {
                        share.request_headers.apply(&mut edited);
                        share.response_headers.apply(&mut edited);
                        assert!(!backend.name.name.is_empty());
                    }
                    Choice::Nowhere(why) => assert!(!why.is_empty()),
                }
            }
        }
        let value = value.parse().expect("a header's value");
        headers.append(name, value);
    }
}
