//! Which policy holds for a request, section by section: manifests in, the table that the proxy looks up out.

use super::routes::{loaded, met, pair, port, route, routing, rule};
use super::{messages, service, set, slice};
use crate::plan::Catalog;
use crate::route::Choice;
use std::time::Duration;

fn policy(name: &str, target: &str, sections: &str) -> String {
    format!(
        "---\napiVersion: mesh.dev/v1alpha1\nkind: MeshPolicy\nmetadata: {{name: {name}, namespace: n}}\n\
         spec: {{targetRefs: [{target}], {sections}}}\n"
    )
}

#[test]
fn the_closest_policy_wins_section_by_section() {
    let target = "group: gateway.networking.k8s.io, kind: GRPCRoute, name: r";
    let policies = policy(
        "s",
        "{kind: Service, name: a}",
        "timeouts: {request: 4s}, retry: {attempts: 4}, rateLimit: {requestsPerSecond: 4}, fault: {abort: {percent: 4, status: ABORTED}}",
    ) + &policy(
        "p",
        "{kind: Service, name: a, sectionName: grpc}",
        "timeouts: {request: 3s}, retry: {attempts: 3}, rateLimit: {requestsPerSecond: 3}",
    ) + &policy(
        "r",
        &format!("{{{target}}}"),
        "timeouts: {request: 2s}, retry: {attempts: 2}",
    ) + &policy(
        "u",
        &format!("{{{target}, sectionName: first}}"),
        "timeouts: {request: 1s}",
    );
    let rules =
        rule("s", "b").replace("{matches", "{name: first, matches") + ", " + &rule("-", "a");
    let catalog = loaded(&(pair() + &policies + &route("n", "r", "a", &rules)));
    assert_eq!(messages(&catalog), Vec::<String>::new());
    let port = port(&catalog, "10.0.0.1").unwrap();
    let told = |path: &str| {
        let rule = met(&port, None, path).unwrap();
        let traffic = &rule.traffic;
        let by = &rule.set_by;
        let names = [&by.timeouts, &by.retry, &by.rate_limit, &by.fault];
        let names: Vec<String> = names
            .iter()
            .map(|id| id.as_ref().unwrap().name.name.to_string())
            .collect();
        (
            traffic.timeouts.request.unwrap().as_secs(),
            traffic.retry.as_ref().unwrap().attempts,
            names.join(""),
        )
    };
    assert_eq!(told("/s/m"), (1, 2, "urps".to_owned()));
    assert_eq!(told("/t/m"), (2, 2, "rrps".to_owned()));
}

#[test]
fn what_an_http_route_says_itself_beats_every_policy() {
    let policies = policy(
        "s",
        "{kind: Service, name: a}",
        "timeouts: {request: 4s, streamIdle: 1h}, retry: {attempts: 4}",
    );
    let own = "timeouts: {request: 0s, backendRequest: 1s}, retry: {attempts: 1, codes: [503]}, backendRefs";
    let route = route("n", "h", "a", &rule("-", "b").replace("backendRefs", own))
        .replace("GRPCRoute", "HTTPRoute");
    let pair = pair().replace("port: 80", "port: 80, appProtocol: kubernetes.io/h2c");
    let catalog = loaded(&(pair + &policies + &route));
    assert_eq!(messages(&catalog), Vec::<String>::new());
    let rule = met(&port(&catalog, "10.0.0.1").unwrap(), None, "/x").unwrap();
    assert_eq!(rule.traffic.timeouts.request, None);
    assert_eq!(
        rule.traffic.timeouts.backend_request,
        Some(Duration::from_secs(1))
    );
    assert_eq!(
        rule.traffic.timeouts.stream_idle,
        Some(Duration::from_secs(3600))
    );
    assert_eq!(rule.traffic.retry.as_ref().unwrap().attempts, 1);
    assert_eq!(
        rule.set_by.timeouts.as_ref().unwrap().to_string(),
        "HTTPRoute n/h"
    );
}

#[test]
fn of_two_policies_for_one_target_the_older_keeps_a_section() {
    let old = policy("z", "{kind: Service, name: a}", "timeouts: {request: 1s}").replace(
        "namespace: n}",
        "namespace: n, creationTimestamp: '2024-01-01T00:00:00Z'}",
    );
    let young = policy(
        "y",
        "{kind: Service, name: a}",
        "timeouts: {request: 2s}, retry: {}",
    );
    let catalog = loaded(&(pair() + &old + &young));
    let rule = met(&port(&catalog, "10.0.0.1").unwrap(), None, "/x").unwrap();
    assert_eq!(rule.traffic.timeouts.request, Some(Duration::from_secs(1)));
    assert!(rule.traffic.retry.is_some());
    let told = messages(&catalog).join("\n");
    assert!(
        told.contains("MeshPolicy n/y: spec.timeouts: conflicts with MeshPolicy n/z"),
        "{told}"
    );
    assert!(!told.contains("spec.retry"), "{told}");
}

#[test]
fn a_policy_about_requests_routes_its_port_and_follows_the_receiver() {
    for (sections, is_routed) in [
        ("failureMode: Closed", false),
        ("loadBalancing: {locality: Off}", false),
        ("connection: {maxAge: 1h}", false),
        ("timeouts: {request: 1s}", true),
        ("circuitBreaker: {maxRequests: 7}", true),
    ] {
        let catalog = loaded(&(pair() + &policy("p", "{kind: Service, name: b}", sections)));
        assert_eq!(
            routing(&catalog, "b").is_routed_for_all,
            is_routed,
            "{sections}"
        );
        assert_eq!(
            port(&catalog, "10.0.0.2").is_some(),
            is_routed,
            "{sections}"
        );
    }
    let text = pair()
        + &policy(
            "p",
            "{kind: Service, name: b}",
            "circuitBreaker: {maxRequests: 7}, failureMode: Closed, timeouts: {request: 1s}",
        )
        + &route("n", "r", "a", &rule("-", "b"));
    let catalog = loaded(&text);
    let a = port(&catalog, "10.0.0.1").unwrap();
    let rule = met(&a, None, "/s/m").unwrap();
    let Choice::To(backend, _) = rule.choose(0) else {
        panic!("{rule:?}");
    };
    assert_eq!(backend.traffic.circuit_breaker.unwrap().requests_max, 7);
    assert_eq!(
        backend.set_by.circuit_breaker.as_ref().unwrap().to_string(),
        "MeshPolicy n/p"
    );
    assert_eq!(rule.traffic.timeouts.request, None);
    assert!(!a.is_closed_on_failure && port(&catalog, "10.0.0.2").unwrap().is_closed_on_failure);
}

#[test]
fn a_fallback_follows_its_service() {
    let policies = policy(
        "p",
        "{kind: Service, name: a}",
        "fallback: {backendRef: {name: b, port: 80}}",
    );
    let mut catalog =
        loaded(&(service("a", "10.0.0.1") + &slice("a", "a-1", &["10.1.0.1"]) + &policies));
    let fallback = |catalog: &Catalog| {
        let rule = met(&port(catalog, "10.0.0.1").unwrap(), None, "/x").unwrap();
        let fallback = rule.fallback.clone().unwrap();
        fallback.map(|backend| backend.endpoints.len())
    };
    assert_eq!(fallback(&catalog), Err("there is no Service n/b".into()));
    let told = messages(&catalog).join("\n");
    assert!(
        told.contains("spec.fallback.backendRef: there is no Service n/b"),
        "{told}"
    );

    set(
        &mut catalog,
        "b.yaml",
        &(service("b", "10.0.0.2") + &slice("b", "b-1", &["10.1.0.2"])),
    );
    assert_eq!(fallback(&catalog), Ok(1));
    assert_eq!(messages(&catalog), Vec::<String>::new());
}

#[test]
fn targets_of_policies_that_lead_nowhere_are_told() {
    let target = "group: gateway.networking.k8s.io, kind: GRPCRoute";
    let text = pair()
        + &route("n", "r", "a", &rule("-", "b"))
        + &policy(
            "p",
            &format!("{{{target}, name: x}}, {{{target}, name: r, sectionName: nope}}"),
            "retry: {}",
        );
    let told = messages(&loaded(&text)).join("\n");
    for expected in [
        "spec.targetRefs[0]: there is no GRPCRoute n/x: the target has no effect",
        "spec.targetRefs[1]: GRPCRoute n/r has no rule of this name",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn the_standard_budget_of_retries_beats_every_policy_for_its_service() {
    let standard = "---\napiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\n\
        metadata: {name: p, namespace: n}\nspec: {targetRefs: [{group: '', kind: Service, name: a}], \
        retryConstraint: {budget: {percent: 7, interval: 3s}, minRetryRate: {count: 5, interval: 2s}}}\n";
    let port_policy = policy(
        "p",
        "{kind: Service, name: a, sectionName: grpc}",
        "retry: {attempts: 3, budget: {percent: 50}}",
    );
    let catalog = loaded(&(pair() + &port_policy + standard));
    assert_eq!(messages(&catalog), Vec::<String>::new());
    let port = port(&catalog, "10.0.0.1").unwrap();
    let budget = port.backend.traffic.retry_budget;
    assert_eq!(budget.percent, 7.0);
    assert_eq!(budget.interval, Duration::from_secs(3));
    assert_eq!(budget.retries_min, 5);
    assert_eq!(budget.retries_min_interval, Duration::from_secs(2));
    let set_by = port.backend.set_by.retry_budget.as_ref();
    assert_eq!(set_by.unwrap().to_string(), "XBackendTrafficPolicy n/p");
    let rule = met(&port, None, "/x").unwrap();
    assert_eq!(rule.traffic.retry.as_ref().unwrap().attempts, 3);

    let alone = loaded(&(pair() + standard));
    assert!(routing(&alone, "a").is_direct());

    let constraint = "retryConstraint: {budget: {percent: 7, interval: 3s}, minRetryRate: {count: 5, interval: 2s}}";
    let silent = standard.replace(constraint, "sessionPersistence: {type: Cookie}");
    let of_mesh = policy(
        "m",
        "{kind: Service, name: a}",
        "retry: {attempts: 3, budget: {percent: 50}}",
    );
    let catalog = loaded(&(pair() + &of_mesh + &silent));
    let port = super::routes::port(&catalog, "10.0.0.1").unwrap();
    assert_eq!(port.backend.traffic.retry_budget.percent, 50.0);
}

#[test]
fn that_retry_of_an_http_route_does_not_know_grpc_s_statuses_is_told() {
    let message = "HTTPRoute n/r: spec.rules[1].retry: its codes are HTTP statuses";
    let retrying = rule("-", "a").replace("backendRefs", "retry: {codes: [503]}, backendRefs");
    let text = |rule: &str| {
        let with = format!("{}, {rule}", self::rule("-", "b"));
        route("n", "r", "a", &with).replace("GRPCRoute", "HTTPRoute")
    };
    let grpc = pair().replace("port: 80", "port: 80, appProtocol: grpc");
    let http = pair().replace("port: 80", "port: 80, appProtocol: kubernetes.io/h2c");
    for (services, rule, is_told) in [
        (&grpc, &retrying, true),
        (&grpc, &rule("-", "a"), false),
        (&http, &retrying, false),
    ] {
        let catalog = loaded(&(services.clone() + &text(rule)));
        let told = messages(&catalog).join("\n");
        assert_eq!(told.contains(message), is_told, "{rule} {told}");
        assert_eq!(catalog.rejected(), 0, "{told}");
    }
}
