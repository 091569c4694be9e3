//! Which callers are routed, by which rules, to whom: manifests in, the table that the proxy looks up out.

use super::{catalog, messages, service, set, slice};
use crate::model::ObjectName;
use crate::plan::{Catalog, Routing};
use crate::route::{Choice, RequestHead, RoutedPort, Rule};
use http::{HeaderMap, Method};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// A GRPCRoute `name` of `namespace`, attached to `n/parent`, with these rules.
pub(super) fn route(namespace: &str, name: &str, parent: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  parentRefs: [{{group: '', kind: Service, name: {parent}, namespace: n}}]\n  rules: [{rules}]\n"
    )
}

/// A rule for one gRPC service, or for everything (`-`), that sends to a Service of `n`.
pub(super) fn rule(service: &str, backend: &str) -> String {
    let matches = match service {
        "-" => String::new(),
        service => format!("matches: [{{method: {{service: {service}}}}}], "),
    };
    format!("{{{matches}backendRefs: [{{name: {backend}, namespace: n, port: 80}}]}}")
}

/// Two Services with an endpoint each: `a` is called, `b` gets some of it.
pub(super) fn pair() -> String {
    service("a", "10.0.0.1")
        + &slice("a", "a-1", &["10.1.0.1"])
        + &service("b", "10.0.0.2")
        + &slice("b", "b-1", &["10.1.0.2"])
}

pub(super) fn loaded(text: &str) -> Catalog {
    let mut catalog = catalog();
    set(&mut catalog, "t.yaml", text);
    catalog
}

pub(super) fn port(catalog: &Catalog, ip: &str) -> Option<Arc<RoutedPort>> {
    let address = SocketAddr::new(ip.parse().unwrap(), 80);
    catalog.routes().port(address).cloned()
}

pub(super) fn met(port: &RoutedPort, caller: Option<&str>, path: &str) -> Option<Arc<Rule>> {
    let head = RequestHead {
        method: &Method::POST,
        path,
        headers: &HeaderMap::new(),
    };
    port.rules(caller).find(&head).cloned()
}

/// Where a request to `n/a` goes: rule and endpoints, or why nowhere.
fn sent(catalog: &Catalog, caller: Option<&str>, path: &str) -> String {
    let Some(port) = port(catalog, "10.0.0.1") else {
        return "direct".to_owned();
    };
    let Some(rule) = met(&port, caller, path) else {
        return "unimplemented".to_owned();
    };
    match rule.choose(0) {
        Choice::To(backend, _) => {
            let endpoints: Vec<String> = backend
                .endpoints
                .iter()
                .map(|e| e.address.ip().to_string())
                .collect();
            format!("{} => {}", rule.name, endpoints.join(" "))
        }
        Choice::Nowhere(reason) => format!("{} => {reason}", rule.name),
    }
}

pub(super) fn routing(catalog: &Catalog, name: &str) -> Routing {
    let plan = catalog.service(&ObjectName::new("n", name)).unwrap();
    plan.ports[0].routing.clone()
}

#[test]
fn a_route_holds_from_the_change_that_brings_it_to_the_one_that_takes_it() {
    let mut catalog = loaded(&pair());
    assert_eq!(sent(&catalog, None, "/s/m"), "direct");

    let update = set(
        &mut catalog,
        "r.yaml",
        &route("n", "r", "a", &rule("-", "b")),
    );

    let names: Vec<String> = update.changes.iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["n/a"]);
    assert!(update.routes.is_some());
    assert!(routing(&catalog, "a").is_routed_for_all && routing(&catalog, "b").is_direct());
    assert_eq!(
        sent(&catalog, None, "/s/m"),
        "GRPCRoute n/r rule 0 => 10.1.0.2"
    );

    let update = set(
        &mut catalog,
        "r.yaml",
        &route("n", "r", "a", &rule("-", "a")),
    );
    assert!(update.changes.is_empty() && update.routes.is_some());
    assert_eq!(
        sent(&catalog, None, "/s/m"),
        "GRPCRoute n/r rule 0 => 10.1.0.1"
    );

    let update = catalog.set_file(Path::new("r.yaml"), None);
    assert_eq!((update.changes.len(), update.routes.is_some()), (1, true));
    assert_eq!(sent(&catalog, None, "/s/m"), "direct");
}

#[test]
fn endpoints_of_a_backend_reach_the_rules_that_send_to_it_and_nothing_else() {
    let mut catalog =
        loaded(&(pair() + &route("n", "r", "a", &rule("-", "b")) + &service("c", "10.0.0.3")));

    let update = set(&mut catalog, "b2.yaml", &slice("b", "b-2", &["10.1.0.3"]));
    assert!(update.routes.is_some());
    assert_eq!(
        sent(&catalog, None, "/s/m"),
        "GRPCRoute n/r rule 0 => 10.1.0.2 10.1.0.3"
    );

    let update = set(&mut catalog, "c1.yaml", &slice("c", "c-1", &["10.1.0.4"]));
    assert!(update.routes.is_none());
}

#[test]
fn a_reference_that_does_not_resolve_is_told_and_heals() {
    let mut catalog = loaded(
        &(service("a", "10.0.0.1")
            + &slice("a", "a-1", &["10.1.0.1"])
            + &route("n", "r", "a", &rule("-", "b"))),
    );
    assert_eq!(catalog.rejected(), 0);
    assert_eq!(
        sent(&catalog, None, "/s/m"),
        "GRPCRoute n/r rule 0 => there is no Service n/b"
    );
    let told = messages(&catalog).join("\n");
    assert!(
        told.contains("spec.rules[0].backendRefs[0]: there is no Service n/b"),
        "{told}"
    );

    let b = service("b", "10.0.0.2") + &slice("b", "b-1", &["10.1.0.2"]);
    set(&mut catalog, "b.yaml", &b.replace("port: 80}", "port: 81}"));
    assert_eq!(
        sent(&catalog, None, "/s/m"),
        "GRPCRoute n/r rule 0 => Service n/b has no TCP port 80"
    );
    set(
        &mut catalog,
        "b.yaml",
        &b.replace("port: 80}", "port: 80, appProtocol: http}"),
    );
    assert!(sent(&catalog, None, "/s/m").ends_with("does not speak HTTP/2 (UnsupportedProtocol)"));

    set(&mut catalog, "b.yaml", &b);
    assert_eq!(
        sent(&catalog, None, "/s/m"),
        "GRPCRoute n/r rule 0 => 10.1.0.2"
    );
    assert_eq!(messages(&catalog), Vec::<String>::new());
}

#[test]
fn a_route_that_turns_bad_stays_in_force_and_the_others_go_on() {
    let mut catalog = loaded(&(pair() + &route("n", "r", "a", &rule("-", "b"))));
    let bad = route(
        "n",
        "r",
        "a",
        &rule("-", "b").replace("port: 80", "port: 0"),
    );

    set(
        &mut catalog,
        "t.yaml",
        &(pair() + &bad + &route("n", "q", "a", &rule("s", "a"))),
    );

    assert_eq!(catalog.rejected(), 1);
    assert_eq!(
        sent(&catalog, None, "/t/m"),
        "GRPCRoute n/r rule 0 => 10.1.0.2"
    );
    assert_eq!(
        sent(&catalog, None, "/s/m"),
        "GRPCRoute n/q rule 0 => 10.1.0.1"
    );
}

#[test]
fn consumer_routes_replace_producer_routes_for_their_own_namespace() {
    let text = pair()
        + &route("n", "producer", "a", &rule("-", "a"))
        + &route("m", "consumer", "a", &rule("s", "b"));
    let catalog = loaded(&text);
    for (caller, path, expected) in [
        (None, "/s/m", "GRPCRoute n/producer rule 0 => 10.1.0.1"),
        (Some("n"), "/s/m", "GRPCRoute n/producer rule 0 => 10.1.0.1"),
        (Some("x"), "/s/m", "GRPCRoute n/producer rule 0 => 10.1.0.1"),
        (Some("m"), "/s/m", "GRPCRoute m/consumer rule 0 => 10.1.0.2"),
        (Some("m"), "/t/m", "unimplemented"),
    ] {
        assert_eq!(sent(&catalog, caller, path), expected, "{caller:?} {path}");
    }
}

#[test]
fn with_consumer_routes_alone_everybody_else_passes() {
    let catalog = loaded(&(pair() + &route("m", "consumer", "a", &rule("-", "b"))));
    let routing = routing(&catalog, "a");
    assert!(!routing.is_routed_for_all && !routing.is_direct());
    assert!(
        routing.is_routed_for(Some("m"))
            && !routing.is_routed_for(Some("n"))
            && !routing.is_routed_for(None)
    );
    assert_eq!(
        sent(&catalog, Some("m"), "/s/m"),
        "GRPCRoute m/consumer rule 0 => 10.1.0.2"
    );
    assert_eq!(sent(&catalog, None, "/s/m"), "Service n/a => 10.1.0.1");
}

#[test]
fn routes_merge_and_ties_go_to_the_older_then_to_the_first_by_name() {
    let aged = |namespace: &str, name: &str, year: &str| {
        let text = route(namespace, name, "a", &rule("s", "b"));
        match year {
            "" => text,
            year => text.replacen(
                &format!("namespace: {namespace}}}"),
                &format!("namespace: {namespace}, creationTimestamp: '{year}-01-01T00:00:00Z'}}"),
                1,
            ),
        }
    };
    for (routes, winner) in [
        ([("x", "2024"), ("y", "2023")], "n/y"),
        ([("x", "2023"), ("y", "2023")], "n/x"),
        ([("x", ""), ("y", "2023")], "n/y"),
        ([("x", ""), ("y", "")], "n/x"),
    ] {
        let texts: String = routes
            .iter()
            .map(|(name, year)| aged("n", name, year))
            .collect();
        let catalog = loaded(&(pair() + &texts + &route("n", "z", "a", &rule("-", "a"))));
        assert_eq!(
            sent(&catalog, None, "/s/m"),
            format!("GRPCRoute {winner} rule 0 => 10.1.0.2"),
            "{routes:?}"
        );
        assert_eq!(
            sent(&catalog, None, "/t/m"),
            "GRPCRoute n/z rule 0 => 10.1.0.1"
        );
    }
}

#[test]
fn a_grpc_route_keeps_http_routes_out_of_its_port() {
    let http = route("n", "h", "a", &rule("-", "b")).replace("GRPCRoute", "HTTPRoute");
    let catalog = loaded(&(pair() + &http));
    assert_eq!(
        sent(&catalog, None, "/any"),
        "HTTPRoute n/h rule 0 => 10.1.0.2"
    );

    let catalog = loaded(&(pair() + &http + &route("n", "z", "a", &rule("-", "a"))));
    assert_eq!(
        sent(&catalog, None, "/any"),
        "GRPCRoute n/z rule 0 => 10.1.0.1"
    );
    let told = messages(&catalog).join("\n");
    assert!(
        told.contains("HTTPRoute n/h: spec.parentRefs: conflicts with GRPCRoute n/z"),
        "{told}"
    );
}

#[test]
fn a_route_is_attached_to_the_ports_its_reference_means() {
    let two = "---\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n}\n\
        spec: {clusterIP: 10.0.0.1, ports: [{name: grpc, port: 80}, {name: grpc-b, port: 81}, {name: web, port: 82, appProtocol: http}]}\n";
    let parent = "name: a, namespace: n}";
    for (more, expected) in [
        ("", [true, true, false]),
        (", port: 81", [false, true, false]),
        (", sectionName: grpc", [true, false, false]),
        (", port: 81, sectionName: grpc", [false, false, false]),
        (", port: 82", [false, false, false]),
    ] {
        let text = route("n", "r", "a", &rule("-", "a"))
            .replace(parent, &format!("name: a, namespace: n{more}}}"));
        let catalog = loaded(&(two.to_owned() + &text));
        let plan = catalog.service(&ObjectName::new("n", "a")).unwrap();
        let routed: Vec<bool> = plan
            .ports
            .iter()
            .map(|port| port.routing.is_routed_for_all)
            .collect();
        assert_eq!(routed, expected, "{more}");
        let told = messages(&catalog).join("\n");
        let is_unsupported = told.contains(
            "port 82 of Service n/a does not speak HTTP/2 and stays direct (UnsupportedProtocol)",
        );
        assert_eq!(
            is_unsupported,
            ["", ", port: 82"].contains(&more),
            "{more} {told}"
        );
        assert_eq!(
            told.contains("NoMatchingParent"),
            more.contains("81, sectionName"),
            "{more} {told}"
        );
    }
}

#[test]
fn routes_without_a_catch_all_are_told() {
    let message = "no rule of the Service's routes takes every request";
    for (rules, is_told) in [
        (rule("s", "b"), true),
        (rule("s", "b") + ", " + &rule("-", "a"), false),
    ] {
        let catalog = loaded(&(pair() + &route("n", "r", "a", &rules)));
        let told = messages(&catalog).join("\n");
        assert_eq!(told.contains(message), is_told, "{rules} {told}");
    }
}

#[test]
fn callers_of_both_families_get_endpoints_of_their_own() {
    let dual = "---\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n}\n\
        spec: {clusterIPs: [10.0.0.1, 'fd00::1'], ports: [{name: grpc, port: 80}]}\n";
    let text = dual.to_owned()
        + &slice("a", "a-4", &["10.1.0.1"])
        + &slice("a", "a-6", &["'fd01::1'"]).replace("IPv4", "IPv6")
        + &service("b", "10.0.0.2")
        + &slice("b", "b-1", &["10.1.0.2"])
        + &route("n", "r", "a", &(rule("s", "b") + ", " + &rule("-", "a")));
    let catalog = loaded(&text);
    let address = |ip: &str, path: &str| {
        let rule = met(&port(&catalog, ip).unwrap(), None, path).unwrap();
        let Choice::To(backend, _) = rule.choose(0) else {
            panic!("{rule:?}");
        };
        backend.endpoints[0].address.ip().to_string()
    };
    assert_eq!(address("10.0.0.1", "/t/m"), "10.1.0.1");
    assert_eq!(address("fd00::1", "/t/m"), "fd01::1");
    // The other Service has endpoints of one family only.
    assert_eq!(address("fd00::1", "/s/m"), "10.1.0.2");
}

#[test]
fn while_a_change_is_applied_old_and_new_routes_hold() {
    let mut catalog = loaded(&(pair() + &route("n", "r", "a", &rule("-", "b"))));
    let old = Arc::clone(catalog.routes());
    let update = set(
        &mut catalog,
        "t.yaml",
        &(pair() + &route("n", "r", "b", &rule("-", "a"))),
    );
    let new = update.routes.unwrap();
    let between = old.with(&new);
    let address = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 80);
    for (ip, in_old, in_new) in [("10.0.0.1", true, false), ("10.0.0.2", false, true)] {
        assert_eq!(old.port(address(ip)).is_some(), in_old);
        assert_eq!(new.port(address(ip)).is_some(), in_new);
        assert!(between.port(address(ip)).is_some());
    }
}
