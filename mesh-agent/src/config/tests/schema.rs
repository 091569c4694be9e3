//! Claims about what of routes the API server would refuse, by the schema and the rules of Gateway API's definitions.

use super::route::{first_error, read, route, rule};
use super::{check, parse, told};
use crate::model::Body;
use http::HeaderValue;

/// Checks that a GRPCRoute is refused for what its rule says besides.
fn check_rule(rows: &[(&str, &str)]) {
    for (more, expected) in rows {
        let told = first_error(&rule("GRPCRoute", more));
        let is_so = told.ends_with(&format!(" spec.rules[0].{expected}"));
        assert!(is_so, "{more}: {told}");
    }
}

#[test]
fn matches_that_the_api_server_would_refuse_are_refused() {
    check_rule(&[
        (
            "matches: [{method: {}}]",
            "matches[0].method: neither service nor method is given",
        ),
        (
            "matches: [{method: {service: a/S}}]",
            "matches[0].method.service: no name of protobuf",
        ),
        (
            "matches: [{method: {service: '', method: Get}}]",
            "matches[0].method.service: no name of protobuf",
        ),
        (
            "matches: [{method: {type: RegularExpression, service: ''}}]",
            "matches[0].method: neither service nor method is given",
        ),
        (
            "matches: [{method: {method: a.Get}}]",
            "matches[0].method.method: no name of protobuf",
        ),
        (
            "matches: [{method: {type: RegularExpression, service: '('}}]",
            "matches[0].method.service: no regular expression: unclosed group",
        ),
        (
            "matches: [{method: {type: Prefix, service: a}}]",
            "matches[0].method.type: unknown variant `Prefix`, expected `Exact` or `RegularExpression`",
        ),
        (
            "matches: [{headers: [{name: ':path', value: a}]}]",
            "matches[0].headers[0].name: no name of a header",
        ),
        (
            "matches: [{headers: [{name: a, value: a}, {name: a, value: b}]}]",
            "matches[0].headers[1].name: the name is given twice",
        ),
        ("name: First", "name: no name of a rule"),
        ("name: a..b", "name: no name of a rule"),
        ("name: a.-b", "name: no name of a rule"),
    ]);
}

#[test]
fn filters_that_the_api_server_would_refuse_are_refused() {
    check_rule(&[
        (
            "filters: [{type: RequestHeaderModifier}]",
            "filters[0]: a filter of this type needs `requestHeaderModifier`",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {}, requestMirror: {backendRef: {name: b, port: 1}}}]",
            "filters[0].requestMirror: does not go with the type RequestHeaderModifier",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [TE]}}]",
            "filters[0].requestHeaderModifier.remove[0]: a filter may not change this header: gRPC needs it as it is",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a, a]}}]",
            "filters[0].requestHeaderModifier.remove[1]: the header is named twice",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}, {name: a, value: c}]}}]",
            "filters[0].requestHeaderModifier.set[1].name: the name is given twice",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: a, value: ' b'}]}}]",
            "filters[0].requestHeaderModifier.add[0].value: no value of a header",
        ),
        (
            "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: grpc-status, value: '0'}]}}]",
            "filters[0].responseHeaderModifier.set[0].name: a filter may not change this header: gRPC needs it as it is",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: ':authority', value: a}]}}]",
            "filters[0].requestHeaderModifier.add[0].name: no name of a header",
        ),
        (
            "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 1}, percent: 101}}]",
            "filters[0].requestMirror.percent: no share of requests",
        ),
        (
            "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 1}, fraction: {numerator: 1, denominator: 0}}}]",
            "filters[0].requestMirror.fraction: no share of requests",
        ),
        (
            "filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]",
            "filters[0].type: the mesh does not have this filter (Accepted=False, UnsupportedValue)",
        ),
    ]);
}

#[test]
fn rules_that_the_api_server_would_refuse_are_refused() {
    let many = |item: &str, count: usize| vec![item; count].join(", ");
    let seventeen_rules = format!(
        "rules: [{}]",
        many("{backendRefs: [{name: b, port: 80}]}", 17)
    );
    for (spec, expected) in [
        (
            &*seventeen_rules,
            "spec.rules: 17 items, more than the 16 that Gateway API allows",
        ),
        (
            "rules: [{backendRefs: [{name: b}]}]",
            "spec.rules[0].backendRefs[0]: the reference to a Service has no port",
        ),
        (
            "rules: [{backendRefs: [{name: '', port: 80}]}]",
            "spec.rules[0].backendRefs[0].name: no name of a reference",
        ),
        (
            "rules: [{backendRefs: [{name: b, namespace: m.n, port: 80}]}]",
            "spec.rules[0].backendRefs[0].namespace: no namespace of a reference",
        ),
        (
            "rules: [{backendRefs: [{group: A, kind: Bucket, name: b}]}]",
            "spec.rules[0].backendRefs[0].group: no group of a reference",
        ),
        (
            "rules: [{backendRefs: [{kind: 'B!', name: b}]}]",
            "spec.rules[0].backendRefs[0].kind: no kind of a reference",
        ),
        (
            "hostnames: [a.example, '*.a.example', a_b]",
            "spec.hostnames[2]: no host name",
        ),
        (
            "rules: [{backendRefs: [{name: b, port: 80, weight: -1}]}]",
            "spec.rules[0].backendRefs[0].weight: no weight",
        ),
        (
            "rules: [{name: x, backendRefs: [{name: b, port: 80}]}, {name: x, backendRefs: [{name: b, port: 80}]}]",
            "spec.rules[1].name: a second rule of this name",
        ),
        ("rulez: []", "spec.rulez: unknown field"),
        (
            "useDefaultGateways: Some",
            "spec.useDefaultGateways: unknown variant `Some`",
        ),
    ] {
        let parsed = parse(&route("GRPCRoute", spec));
        let told = told(&parsed).join("\n");
        assert!(
            told.contains(expected) && parsed.objects[0].body.is_none(),
            "{spec}: {told}"
        );
    }
}

#[test]
fn what_the_api_server_would_refuse_of_an_http_route_is_refused() {
    for (more, expected) in [
        (
            "matches: [{path: {value: a}}]",
            "matches[0].path.value: the path does not begin with /",
        ),
        (
            "matches: [{path: {value: /a//b}}]",
            "matches[0].path.value: the path has //, /./, /../ or %2f, which servers read differently",
        ),
        (
            "matches: [{path: {type: Exact, value: '/a b'}}]",
            "matches[0].path.value: the path has a character that is to be percent-encoded",
        ),
        (
            "matches: [{path: {value: /%zz}}]",
            "matches[0].path.value: the path has a % without two hexadecimal digits",
        ),
        (
            "timeouts: {request: 1s, backendRequest: 2s}",
            "timeouts.backendRequest: longer than timeouts.request",
        ),
        ("timeouts: {request: 1.5s}", "timeouts.request: no duration"),
        (
            "retry: {attempts: 5}",
            "retry.attempts: no number of retries",
        ),
        (
            "retry: {codes: [200]}",
            "retry.codes[0]: no status of a failure",
        ),
        (
            "filters: [{type: URLRewrite, urlRewrite: {hostname: a}}]",
            "filters[0].type: the mesh does not have this filter (Accepted=False, UnsupportedValue)",
        ),
    ] {
        let told = first_error(&rule("HTTPRoute", more));
        assert!(
            told.ends_with(&format!(" spec.rules[0].{expected}")),
            "{more}: {told}"
        );
    }
}

#[test]
fn references_to_one_service_are_told_apart_by_port() {
    let parents = |refs: &str| {
        route("GRPCRoute", "rules: [{backendRefs: [{name: b, port: 80}]}]")
            .replace("{group: '', kind: Service, name: a}", refs)
    };
    let service = "group: '', kind: Service, name: a";
    read(&parents(&format!(
        "{{{service}, port: 80}}, {{{service}, port: 81}}"
    )));
    read(&parents(&format!(
        "{{{service}, sectionName: x}}, {{{service}, sectionName: y}}"
    )));
    read(&parents(&format!(
        "{{{service}}}, {{{service}, namespace: m}}"
    )));
    // Two spellings of one reference are two to the API server.
    read(&parents(&format!(
        "{{{service}}}, {{{service}, namespace: n}}"
    )));
    for (refs, expected) in [
        (
            format!("{{{service}}}, {{{service}}}"),
            "a second reference to the same Service and port",
        ),
        (
            format!("{{{service}}}, {{{service}, port: 80}}"),
            "one reference to the Service names its port, another does not",
        ),
    ] {
        assert_eq!(
            first_error(&parents(&refs)),
            format!("5 spec.parentRefs[1]: {expected}")
        );
    }
    assert_eq!(
        first_error(&parents(&format!("{{{service}, sectionName: ''}}"))),
        "5 spec.parentRefs[0].sectionName: no sectionName of a reference"
    );
}

#[test]
fn of_headers_that_differ_in_case_alone_a_filter_takes_the_first() {
    let text = rule(
        "GRPCRoute",
        "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: b}, {name: x-a, value: c}]}}]",
    );
    check(
        &text,
        true,
        &[
            "8 spec.rules[0].filters[0].requestHeaderModifier.set[1].name: the name is given above in another case: this entry does not count",
        ],
    );
    let body = parse(&text).objects[0].body.clone();
    let Some(Body::Route(route)) = body.as_deref() else {
        panic!("{body:?}");
    };
    let set = &route.rules[0].filters.request_headers.set;
    assert_eq!((set.len(), &set[0].1), (1, &HeaderValue::from_static("b")));
}

#[test]
fn an_http_route_has_a_rule_and_each_rule_a_match() {
    assert_eq!(
        first_error(&route("HTTPRoute", "rules: []")),
        "6 spec.rules: an HTTPRoute has at least one rule"
    );
    let of = |matches: usize| format!("{{matches: [{}]}}", vec!["{}"; matches].join(", "));
    for (kind, last, is_accepted) in [
        ("HTTPRoute", "{matches: []}", true),
        ("HTTPRoute", "{}", false),
        ("GRPCRoute", "{}", true),
    ] {
        let rules = format!("rules: [{}, {}, {last}]", of(64), of(64));
        let parsed = parse(&route(kind, &rules));
        let is_refused = told(&parsed)
            .join("\n")
            .contains("spec.rules: 129 matches, more than the 128 a route may have");
        assert_eq!(is_refused, !is_accepted, "{kind} {last}");
        assert_eq!(parsed.objects[0].body.is_some(), is_accepted);
    }
}
