//! Claims about reading GRPCRoute and HTTPRoute.

use super::{check, parse, told};
use crate::model::{
    BackendRef, Body, Destination, GrpcMatch, ObjectName, ParentRef, PathMatch, Route, RouteMatch,
    TextMatch,
};
use std::time::Duration;

pub(super) fn route(kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: r, namespace: n}}\nspec:\n  \
         parentRefs: [{{group: '', kind: Service, name: a}}]\n  {}\n",
        spec.replace('\n', "\n  ")
    )
}

/// A route with one rule that sends to Service `b`, and of which this is said besides.
pub(super) fn rule(kind: &str, more: &str) -> String {
    route(
        kind,
        &format!(
            "rules:\n- backendRefs: [{{name: b, port: 80}}]\n  {}",
            more.replace('\n', "\n  ")
        ),
    )
}

pub(super) fn read(text: &str) -> Route {
    let parsed = parse(text);
    assert_eq!(parsed.problems, [], "{text}");
    match parsed.objects[0].body.as_deref() {
        Some(Body::Route(route)) => route.clone(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn first_error(text: &str) -> String {
    let parsed = parse(text);
    assert!(parsed.objects[0].body.is_none(), "accepted: {text}");
    told(&parsed).first().cloned().unwrap_or_default()
}

#[test]
fn a_grpc_route_is_read_with_the_defaults_of_the_specification() {
    let route = read(&route(
        "GRPCRoute",
        "rules:\n- name: first\n  matches: [{method: {service: a.S, method: Get}}, {method: {type: RegularExpression, method: 'G.*'}}, \
         {headers: [{name: X-User, value: u}]}]\n  backendRefs: [{name: b, port: 80}, {name: c, namespace: m, port: 81, weight: 0}]\n\
         - backendRefs: [{name: b, port: 80}]",
    ));
    let parent = ParentRef {
        service: ObjectName::new("n", "a"),
        port: None,
        port_name: None,
        index: 0,
    };
    assert_eq!(route.parents, [parent]);
    let exact = |text: &str| Some(TextMatch::Exact(text.into()));
    let first = &route.rules[0];
    assert_eq!(first.name.as_deref(), Some("first"));
    assert_eq!(
        first.matches[0],
        RouteMatch::Grpc(GrpcMatch {
            service: exact("a.S"),
            method: exact("Get"),
            headers: vec![],
        })
    );
    let RouteMatch::Grpc(second) = &first.matches[1] else {
        panic!("{:?}", first.matches[1]);
    };
    assert!(matches!(&second.method, Some(TextMatch::Pattern(p)) if p.as_str() == "G.*"));
    let RouteMatch::Grpc(third) = &first.matches[2] else {
        panic!("{:?}", first.matches[2]);
    };
    assert_eq!(third.headers[0].name, "x-user");
    let shares: Vec<(&Destination, u32)> = first
        .backends
        .iter()
        .map(|BackendRef { to, weight, .. }| (to, *weight))
        .collect();
    let b = Destination::Service(ObjectName::new("n", "b"), 80);
    let c = Destination::Service(ObjectName::new("m", "c"), 81);
    assert_eq!(shares, [(&b, 1), (&c, 0)]);
    assert!(route.rules[1].matches.is_empty());
}

#[test]
fn an_http_route_is_read_with_the_defaults_of_the_specification() {
    let route = read(&rule(
        "HTTPRoute",
        "matches: [{}, {path: {value: /a/}}, {path: {type: Exact, value: /a/}, method: GET, queryParams: [{name: q, value: '1'}]}]\n\
         timeouts: {request: 2s, backendRequest: 0s}\nretry: {attempts: 3, codes: [503], backoff: 100ms}",
    ));
    let rule = &route.rules[0];
    let paths: Vec<&PathMatch> = rule
        .matches
        .iter()
        .map(|wanted| match wanted {
            RouteMatch::Http(wanted) => &wanted.path,
            RouteMatch::Grpc(_) => panic!("{wanted:?}"),
        })
        .collect();
    assert_eq!(
        paths,
        [
            &PathMatch::Prefix("".into()),
            &PathMatch::Prefix("/a".into()),
            &PathMatch::Exact("/a/".into())
        ]
    );
    assert_eq!(rule.request_timeout, Some(Duration::from_secs(2)));
    assert_eq!(rule.backend_request_timeout, Some(Duration::ZERO));
    let retry = rule.retry.as_ref().unwrap();
    assert_eq!((retry.attempts, &*retry.http_codes), (3, &[503][..]));
    assert_eq!(
        (retry.backoff_base, retry.backoff_max),
        (Duration::from_millis(100), Duration::from_secs(1))
    );
}

#[test]
fn filters_are_read() {
    let route = read(&rule(
        "GRPCRoute",
        "filters:\n\
         - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: '1'}], add: [{name: x-b, value: '2'}], remove: [X-C]}}\n\
         - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-d]}}\n\
         - {type: RequestMirror, requestMirror: {backendRef: {name: c, port: 81}, percent: 5}}\n\
         - {type: RequestMirror, requestMirror: {backendRef: {name: d, port: 81}, fraction: {numerator: 1, denominator: 1000}}}\n\
         - {type: RequestMirror, requestMirror: {backendRef: {name: e, port: 81}}}",
    ));
    let filters = &route.rules[0].filters;
    assert_eq!(filters.request_headers.set[0].0, "x-a");
    assert_eq!(filters.request_headers.add[0].1, "2");
    assert_eq!(filters.request_headers.remove, ["x-c"]);
    assert_eq!(filters.response_headers.remove, ["x-d"]);
    let shares: Vec<(u32, u32)> = filters
        .mirrors
        .iter()
        .map(|m| (m.numerator, m.denominator))
        .collect();
    assert_eq!(shares, [(5, 100), (1, 1000), (1, 1)]);
    assert_eq!(
        &*filters.mirrors[1].path,
        "spec.rules[0].filters[3].requestMirror.backendRef"
    );
}

#[test]
fn what_the_mesh_does_not_have_is_named() {
    check(
        &rule("GRPCRoute", "sessionPersistence: {type: Header}")
            .replace("spec:\n", "spec:\n  hostnames: [a.example]\n"),
        true,
        &[
            "5 spec.hostnames: not implemented in the mesh, has no effect: a route holds for its Services under any name",
            "9 spec.rules[0].sessionPersistence: not implemented in the mesh, has no effect",
        ],
    );
    check(
        &route(
            "GRPCRoute",
            "rules: [{backendRefs: [{group: x, kind: Bucket, name: b}]}]",
        ),
        true,
        &[
            "6 spec.rules[0].backendRefs[0]: requests cannot be sent to the kind Bucket (ResolvedRefs=False, InvalidKind)",
        ],
    );
    check(
        &route("GRPCRoute", "").replace("group: '', kind: Service, ", ""),
        true,
        &[
            "4 spec.rules: the route has no rules: no request matches",
            "5 spec.parentRefs[0]: a parent of kind Gateway is not the mesh's: nothing is attached to it here",
            "5 spec.parentRefs: the route is attached to no Service and has no effect",
        ],
    );
    check(
        &route("HTTPRoute", "rules: [{}]"),
        true,
        &["6 spec.rules[0]: the rule has no backendRefs"],
    );
}

#[test]
fn an_object_from_an_api_server_is_read_with_its_status() {
    let text = rule("GRPCRoute", "matches: []")
        + "status: {parents: [{controllerName: x, anything: 1}]}\n";
    read(&text);
}
