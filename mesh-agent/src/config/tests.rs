//! Claims about reading manifests: what is accepted, what is reported, and where.

mod policy;
mod route;
mod schema;

use super::{FILE_SIZE_MAX, parse_file, refuse_large_file};
use crate::model::{Body, Kind, ParsedFile, Severity};
use proptest::prelude::*;
use std::path::Path;

fn parse(text: &str) -> ParsedFile {
    parse_file(Path::new("test.yaml"), text.as_bytes())
}

/// Problems as `line path: message`.
fn told(parsed: &ParsedFile) -> Vec<String> {
    let problems = parsed.problems.iter();
    problems
        .map(|p| format!("{} {}: {}", p.line, p.path, p.message))
        .collect()
}

/// Checks that a text has exactly these problems, and whether its first object is accepted.
fn check(text: &str, is_accepted: bool, expected: &[&str]) {
    let parsed = parse(text);
    assert_eq!(told(&parsed), expected, "{text}");
    let body = parsed
        .objects
        .first()
        .and_then(|object| object.body.as_ref());
    assert_eq!(body.is_some(), is_accepted, "{text}");
}

fn service(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: a, namespace: n}}\nspec:\n  {}\n",
        spec.replace('\n', "\n  ")
    )
}

fn slice(rest: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: a-1, namespace: n, \
         labels: {{kubernetes.io/service-name: a}}}}\n{rest}\n"
    )
}

#[test]
fn all_wrong_types_and_unknown_fields_are_told_at_once() {
    check(
        &service(
            "clusterIP: 10.0.0.1\nports:\n- port: eighty\n  nane: x\n- {name: b, port: 81}\nsessionAffinity: 7",
        ),
        false,
        &[
            "7 spec.ports[0].port: invalid type: string \"eighty\", expected i32",
            "8 spec.ports[0].nane: unknown field",
            "10 spec.sessionAffinity: invalid type: integer `7`, expected a string",
        ],
    );
}

#[test]
fn a_problem_names_file_value_and_remedy() {
    let parsed = parse(&service("clusterIP: 10.0.0.300\nports: [{port: 80}]"));
    let problem = &parsed.problems[0];
    assert_eq!(
        problem.to_string(),
        "test.yaml:5: Service n/a: spec.clusterIP: no IP address (found `10.0.0.300`); \
         write an IPv4 address like 10.96.0.10 or an IPv6 address like fd00::10"
    );
}

#[test]
fn values_of_a_service_are_checked() {
    for (spec, expected) in [
        (
            "clusterIP: 10.0.0.1\nports: [{port: 0}]",
            "6 spec.ports[0].port: no port number",
        ),
        (
            "clusterIP: 10.0.0.1\nports: [{port: 70000}]",
            "6 spec.ports[0].port: no port number",
        ),
        (
            "clusterIP: 0.0.0.0",
            "5 spec.clusterIP: the unspecified address cannot be connected to",
        ),
        (
            "clusterIP: 224.0.0.1",
            "5 spec.clusterIP: a multicast address cannot be connected to",
        ),
        (
            "clusterIP: 169.254.0.1",
            "5 spec.clusterIP: a link-local address cannot be connected to",
        ),
        (
            "clusterIP: '::ffff:1.2.3.4'",
            "5 spec.clusterIP: an IPv4 address in IPv6 form cannot be connected to",
        ),
        (
            "clusterIP: None\nsessionAffinity: Cookie",
            "6 spec.sessionAffinity: no kind of affinity",
        ),
        (
            "clusterIP: None\ninternalTrafficPolicy: Near",
            "6 spec.internalTrafficPolicy: no traffic policy",
        ),
        (
            "clusterIP: None\ntrafficDistribution: Near",
            "6 spec.trafficDistribution: no traffic distribution",
        ),
        (
            "clusterIP: None\ntype: Internal",
            "6 spec.type: no type of Service",
        ),
        (
            "clusterIP: None\nports: [{port: 1, protocol: TPC}]",
            "6 spec.ports[0].protocol: no transport protocol",
        ),
        (
            "clusterIP: None\nports: [{port: 1}, {name: b, port: 2}]",
            "6 spec.ports[0]: the port has no name",
        ),
        (
            "clusterIP: None\nports: [{name: a, port: 1}, {name: b, port: 1}]",
            "6 spec.ports[1].port: a second TCP port of this number",
        ),
        (
            "clusterIPs: [10.0.0.1, 10.0.0.2]",
            "5 spec.clusterIPs[1]: a second cluster IP of the same family",
        ),
        (
            "clusterIP: None\nsessionAffinity: ClientIP\nsessionAffinityConfig: {clientIP: {timeoutSeconds: 90000}}",
            "7 spec.sessionAffinityConfig.clientIP.timeoutSeconds: no timeout",
        ),
    ] {
        check(&service(spec), false, &[expected]);
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    for (spec, expected) in [
        (
            "ports: [{port: 1}]",
            "5 spec: the Service has no cluster IP: nothing assigns one to a file",
        ),
        (
            "clusterIP: None\nexternalIPs: [1.2.3.4]",
            "6 spec.externalIPs: external addresses are not mesh addresses",
        ),
        (
            "clusterIP: None\ntype: NodePort",
            "6 spec.type: node ports and load balancer addresses are not mesh addresses",
        ),
        (
            "clusterIP: None\nports: [{port: 1, appProtocol: https}]",
            "6 spec.ports[0].appProtocol: not a protocol the mesh knows: the port is treated as tcp",
        ),
    ] {
        let text = service(spec);
        let parsed = parse(&text);
        let expected = expected.replacen("5 spec: ", "4 spec: ", 1);
        assert_eq!(told(&parsed), [expected], "{text}");
        assert!(parsed.objects[0].body.is_some(), "{text}");
        assert_eq!(parsed.problems[0].severity, Severity::Warning, "{text}");
    }
}

#[test]
fn loopback_addresses_udp_ports_and_both_families_are_no_fault() {
    let text = service(
        "clusterIPs: [127.96.0.1, 'fd00::1']\nports: [{name: d, port: 53, protocol: UDP}, {name: t, port: 53}]",
    );
    check(&text, true, &[]);
    let parsed = parse(&text);
    let Some(Body::Service(service)) = parsed.objects[0].body.as_deref() else {
        panic!("no service: {parsed:?}");
    };
    assert_eq!(service.ports.len(), 1);
    assert_eq!(service.cluster_ips.iter().count(), 2);
}

#[test]
fn values_of_a_slice_are_checked() {
    let warning = |text: &str, expected: &str| check(&slice(text), true, &[expected]);
    let error = |text: &str, expected: &str| check(&slice(text), false, &[expected]);
    error(
        "addressType: IPv5\nendpoints: []",
        "4 addressType: no address type",
    );
    error(
        "addressType: IPv4\nendpoints: [{addresses: ['fd00::1']}]",
        "5 endpoints[0].addresses[0]: not of the slice's addressType",
    );
    error(
        "addressType: IPv4\nendpoints: [{addresses: [here]}]",
        "5 endpoints[0].addresses[0]: no IP address",
    );
    error(
        "addressType: IPv4\nendpoints: [{addresses: []}]",
        "5 endpoints[0].addresses: the endpoint has no address",
    );
    warning(
        "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1, 10.0.0.2]}]",
        "5 endpoints[0].addresses: only the first address has an effect",
    );
    warning(
        "addressType: FQDN\nendpoints: [{addresses: [a.example]}]",
        "4 addressType: endpoints given by DNS name have no effect",
    );
    check(
        &slice("addressType: IPv4\nendpoints: [{addresses: [127.0.0.1]}]"),
        true,
        &[],
    );
}

#[test]
fn conditions_that_are_not_given_have_the_defaults_of_kubernetes() {
    let text = slice(
        "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2], conditions: {ready: no}}]",
    );
    let parsed = parse(&text);
    let Some(Body::Slice(slice)) = parsed.objects[0].body.as_deref() else {
        panic!("no slice: {parsed:?}");
    };
    let conditions = slice.endpoints.iter();
    let conditions: Vec<_> = conditions
        .map(|e| (e.is_ready, e.is_serving, e.is_terminating))
        .collect();
    assert_eq!(conditions, [(true, true, false), (false, true, false)]);
}

#[test]
fn foreign_kinds_are_named_and_have_no_effect() {
    let gateway =
        "apiVersion: gateway.networking.k8s.io/VERSION\nkind: KIND\nmetadata: {name: r}\n";
    for (version, kind, expected) in [
        (
            "v1",
            "Gateway",
            "1 : Gateway is not in force: the mesh does nothing of what it says",
        ),
        (
            "v1beta1",
            "HTTPRoute",
            "1 : gateway.networking.k8s.io/v1beta1 HTTPRoute is not a version the mesh reads and has no effect",
        ),
    ] {
        let parsed = parse(&gateway.replace("VERSION", version).replace("KIND", kind));
        assert_eq!(told(&parsed), [expected]);
        assert_eq!(parsed.problems[0].severity, Severity::Warning);
        assert!(parsed.is_complete && parsed.objects.is_empty());
    }
}

#[test]
fn a_file_that_does_not_parse_gives_no_object_but_its_line() {
    let parsed = parse(&(service("clusterIP: None") + "---\na: [1\nb: 2\n"));
    assert!(!parsed.is_complete);
    assert!(parsed.objects.is_empty());
    assert_eq!(parsed.problems.len(), 1);
    assert!(parsed.problems[0].line >= 7, "{:?}", parsed.problems);
}

#[test]
fn bombs_and_giants_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        bomb += &format!("a{level}: &a{level} [{below}]\n");
    }
    // Each document alone would pass.
    let small = format!(
        "a: &a [{}]\nb: [{}]\n---\n",
        "x, ".repeat(100),
        "*a, ".repeat(100)
    );
    let many_bombs = small.repeat(1_000);
    let long_text = format!(
        "a: &a \"\\t{}\"\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(1_000)
    );
    let flow = "[".repeat(100_000);
    let nested = "- ".repeat(1_000);
    let wide = format!("[{}]", "1,".repeat(600_000));
    for (text, expected) in [
        (bomb, "aliases expand to more than"),
        (many_bombs, "aliases expand to more than"),
        (long_text, "aliases expand to more than"),
        (nested, "nested deeper than 64 levels"),
        (flow, "recursion limit exceeded"),
        (wide, "more than 500000 nodes"),
    ] {
        let parsed = parse(&text);
        assert!(!parsed.is_complete);
        let problem = parsed
            .problems
            .iter()
            .find(|p| p.message.contains(expected));
        assert!(problem.is_some(), "{:?}", told(&parsed));
    }
    let giant = vec![b'a'; usize::try_from(FILE_SIZE_MAX).unwrap() + 1];
    let parsed = parse_file(Path::new("giant.yaml"), &giant);
    assert_eq!(
        parsed,
        refuse_large_file(Path::new("giant.yaml"), FILE_SIZE_MAX + 1)
    );
    assert!(!parsed.is_complete);
}

#[test]
fn a_key_given_twice_is_an_error_at_its_line() {
    check(
        &service("clusterIP: None\nclusterIP: 10.0.0.1"),
        false,
        &["6 spec.clusterIP: the key is given twice"],
    );
}

#[test]
fn aliases_and_merges_work_as_in_kubectl() {
    let text = slice(
        "addressType: IPv4\nendpoints:\n- &first {addresses: [10.0.0.1], zone: z}\n- {<<: *first, addresses: [10.0.0.2]}",
    );
    check(&text, true, &[]);
    let Some(Body::Slice(slice)) = parse(&text).objects[0].body.as_deref().cloned() else {
        panic!("no slice");
    };
    assert_eq!(slice.endpoints[1].address.to_string(), "10.0.0.2");
    assert_eq!(slice.endpoints[1].zone.as_deref(), Some("z"));
}

#[test]
fn json_with_tabs_and_lists_are_read() {
    let json = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"List\",\n\t\"items\": [\n\t\t{\"apiVersion\": \"v1\", \"kind\": \
        \"Node\", \"metadata\": {\"name\": \"node-a\"}},\n\t\t{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {}}\n\t]\n}";
    let parsed = parse(json);
    assert_eq!(told(&parsed), ["5 metadata.name: the object has no name"]);
    assert_eq!(parsed.objects.len(), 1);
    assert_eq!(parsed.objects[0].id.kind, Kind::Node);
}

#[test]
fn what_is_no_object_is_an_error() {
    for text in [
        "hello",
        "- 1",
        "{}",
        "kind: Service",
        "apiVersion: v1\nkind: [Service]",
    ] {
        let parsed = parse(text);
        assert_eq!(parsed.problems.len(), 1, "{text}");
        assert!(
            parsed.problems[0]
                .message
                .starts_with("not a Kubernetes object"),
            "{text}"
        );
    }
    for text in ["", "---\n---\n", "# only a comment\n", "null"] {
        assert_eq!(told(&parse(text)), Vec::<String>::new(), "{text}");
    }
    let parsed = parse_file(Path::new("latin1.yaml"), b"a: b\nc: \xff");
    assert_eq!(told(&parsed), ["2 : not UTF-8 at byte 8"]);
}

/// What holds for every file: what is not in force is explained, and half a file gives nothing.
fn check_whole(parsed: &ParsedFile) {
    let rejected = parsed
        .objects
        .iter()
        .filter(|object| object.body.is_none())
        .count();
    let errors = parsed
        .problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .count();
    assert!(errors >= rejected, "{parsed:?}");
    assert!(
        parsed.is_complete || (errors > 0 && parsed.objects.is_empty()),
        "{parsed:?}"
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_whole(&parse_file(Path::new("any.yaml"), &bytes));
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[-a{}\\[\\]:,#&*!|>'\"%@ \t\n0-9<~.?é]{0,120}") {
        check_whole(&parse_file(Path::new("any.yaml"), text.as_bytes()));
    }

    #[test]
    fn broken_manifests_never_panic(cut in 0usize..900, byte in any::<u8>(), at in 0usize..900) {
        let text = service("clusterIP: 10.0.0.1\nports: [{name: grpc, port: 1}]") + "---\n"
            + &slice("addressType: IPv4\nports: [{port: 1}]\nendpoints:\n- {addresses: [10.0.0.1], hints: {forZones: [{name: z}]}}");
        let mut bytes = text.into_bytes();
        bytes.truncate(cut);
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        check_whole(&parse_file(Path::new("any.yaml"), &bytes));
    }
}
