//! Which endpoints are in use, rule by rule.

use super::{Catalog, parse, plan_of};
use crate::model::{NodeIdentity, ObjectName};
use crate::plan::{Rank, Rule, Selection};
use std::path::Path;

/// Nodes a (zone 1), b (zone 1), c (zone 2), all of region 1, and d (zone 3) of region 2.
const NODES: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: a, labels: {topology.kubernetes.io/zone: z1, topology.kubernetes.io/region: r1}}}
- {apiVersion: v1, kind: Node, metadata: {name: b, labels: {topology.kubernetes.io/zone: z1, topology.kubernetes.io/region: r1}}}
- {apiVersion: v1, kind: Node, metadata: {name: c, labels: {topology.kubernetes.io/zone: z2, topology.kubernetes.io/region: r1}}}
- {apiVersion: v1, kind: Node, metadata: {name: d, labels: {topology.kubernetes.io/zone: z3, topology.kubernetes.io/region: r2}}}
";

/// Endpoint text: its node, then `-` not ready, `t` terminating but serving, `x` terminating, and hints as `z=…` `n=…`.
fn endpoint(index: usize, text: &str) -> String {
    let mut words = text.split_whitespace();
    let node = words.next().unwrap();
    let (mut conditions, mut hints) = ("", String::new());
    for word in words {
        match word.split_once('=') {
            None if word == "-" => conditions = "ready: false, serving: false",
            None if word == "t" => conditions = "ready: false, serving: true, terminating: true",
            None if word == "x" => conditions = "ready: false, serving: false, terminating: true",
            Some(("z", zone)) => hints += &format!("forZones: [{{name: {zone}}}], "),
            Some(("n", node)) => hints += &format!("forNodes: [{{name: {node}}}], "),
            _ => panic!("{word}"),
        }
    }
    format!(
        "{{addresses: [10.1.0.{index}], nodeName: {node}, conditions: {{{conditions}}}, hints: {{{hints}}}}}"
    )
}

/// Compiles a service on node a; gives the indexes of the endpoints in use, and the selection.
fn compile(spec: &str, locality: &str, endpoints: &[&str], nodes: &str) -> (Vec<usize>, Selection) {
    let endpoints: Vec<String> = endpoints
        .iter()
        .enumerate()
        .map(|(i, e)| endpoint(i, e))
        .collect();
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: n}}\nspec: {{clusterIP: 10.0.0.1, ports: [{{port: 80}}], \
         {spec}}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s-1, namespace: n, labels: \
         {{kubernetes.io/service-name: s}}}}\naddressType: IPv4\nports: [{{port: 1}}]\nendpoints: [{}]\n---\n\
         apiVersion: mesh.dev/v1alpha1\nkind: MeshPolicy\nmetadata: {{name: p, namespace: n}}\n\
         spec: {{targetRefs: [{{kind: Service, name: s}}], loadBalancing: {{locality: {locality}}}}}\n---\n{nodes}",
        endpoints.join(", ")
    );
    let mut catalog = Catalog::new(NodeIdentity::named("a"));
    catalog.set_file(Path::new("t.yaml"), Some(parse("t.yaml", &text)));
    assert_eq!(catalog.problems(), []);
    let plan = catalog.service(&ObjectName::new("n", "s")).unwrap();
    let family = &plan.ports[0].families[0];
    let told = plan_of(&catalog, "s");
    let in_use = (0..endpoints.len()).filter(|i| told.contains(&format!(" 10.1.0.{i}:1")));
    (in_use.collect(), family.selection)
}

fn check(spec: &str, locality: &str, endpoints: &[&str], in_use: &[usize], rule: Rule) {
    let (found, selection) = compile(spec, locality, endpoints, NODES);
    assert_eq!(
        (found.as_slice(), selection.rule),
        (in_use, rule),
        "{spec} {locality} {endpoints:?}"
    );
}

#[test]
fn without_a_rule_every_ready_endpoint_is_used() {
    check(
        "",
        "Service",
        &["a", "b -", "c", "d"],
        &[0, 2, 3],
        Rule::Everywhere,
    );
    check("", "Service", &[], &[], Rule::Everywhere);
}

#[test]
fn terminating_endpoints_that_serve_stand_in_only_while_none_is_ready() {
    check("", "Service", &["a t", "b", "c -"], &[1], Rule::Everywhere);
    check(
        "",
        "Service",
        &["a t", "b x", "c -"],
        &[0],
        Rule::Everywhere,
    );
    check("", "Service", &["a x", "b -"], &[], Rule::Everywhere);
    let (_, selection) = compile("", "Service", &["d t"], NODES);
    assert!(selection.is_draining);
    assert_eq!(selection.reach, Some(Rank::Any));
    check(
        "publishNotReadyAddresses: true",
        "Service",
        &["a -", "b x"],
        &[0, 1],
        Rule::Everywhere,
    );
}

#[test]
fn internal_traffic_policy_local_never_leaves_the_node() {
    let local = "internalTrafficPolicy: Local";
    let rule = Rule::InternalTrafficPolicyLocal;
    check(local, "Service", &["a", "a t", "b"], &[0], rule);
    check(local, "Service", &["a t", "b"], &[0], rule);
    check(local, "Service", &["b", "c"], &[], rule);
    check(local, "Off", &["a", "b"], &[0], rule);
}

#[test]
fn traffic_distribution_prefers_and_falls_back() {
    for zone in [
        "trafficDistribution: PreferSameZone",
        "trafficDistribution: PreferClose",
    ] {
        check(
            zone,
            "Service",
            &["a", "b", "c", "d"],
            &[0, 1],
            Rule::TrafficDistribution,
        );
        check(
            zone,
            "Service",
            &["a -", "b t", "c", "d"],
            &[2, 3],
            Rule::Everywhere,
        );
    }
    let node = "trafficDistribution: PreferSameNode";
    check(
        node,
        "Service",
        &["a", "b", "c"],
        &[0],
        Rule::TrafficDistribution,
    );
    check(
        node,
        "Service",
        &["a -", "b", "c"],
        &[1],
        Rule::TrafficDistribution,
    );
    check(node, "Service", &["c", "d"], &[0, 1], Rule::Everywhere);
}

#[test]
fn hints_count_only_if_every_ready_endpoint_has_them_and_one_is_for_us() {
    check(
        "",
        "Service",
        &["a z=z2", "c z=z1", "d - "],
        &[1],
        Rule::ZoneHints,
    );
    check(
        "",
        "Service",
        &["a z=z2", "c z=z1", "d"],
        &[0, 1, 2],
        Rule::Everywhere,
    );
    check(
        "",
        "Service",
        &["a z=z2", "c z=z3"],
        &[0, 1],
        Rule::Everywhere,
    );
    check(
        "",
        "Service",
        &["b n=a z=z1", "c n=c z=z1"],
        &[0],
        Rule::NodeHints,
    );
    check(
        "",
        "Service",
        &["b n=b z=z1", "c n=c z=z2"],
        &[0],
        Rule::ZoneHints,
    );
}

#[test]
fn failover_takes_the_nearest_locality_with_a_ready_endpoint() {
    for (endpoints, in_use, reach) in [
        (["a", "b", "c", "d"], vec![0], Rank::Node),
        (["a -", "b", "c", "d"], vec![1], Rank::Zone),
        (["a -", "b t", "c", "d"], vec![2], Rank::Region),
        (["a -", "b t", "c -", "d"], vec![3], Rank::Any),
        (["a -", "b t", "c t", "d -"], vec![1], Rank::Zone),
    ] {
        let (found, selection) = compile("", "Failover", &endpoints, NODES);
        assert_eq!(found, in_use, "{endpoints:?}");
        assert_eq!(
            (selection.rule, selection.reach),
            (Rule::Failover, Some(reach))
        );
    }
}

#[test]
fn strict_never_leaves_the_zone() {
    check("", "Strict", &["a", "b", "c", "d"], &[0, 1], Rule::Strict);
    check("", "Strict", &["c", "d"], &[], Rule::Strict);
}

#[test]
fn off_overrides_what_the_service_says() {
    let spec = "trafficDistribution: PreferSameZone";
    check(spec, "Off", &["a", "c"], &[0, 1], Rule::Off);
}

#[test]
fn where_the_own_zone_is_unknown_zone_rules_do_not_restrict() {
    let unknown = "{apiVersion: v1, kind: Node, metadata: {name: d, labels: {topology.kubernetes.io/zone: z3}}}";
    for (spec, locality) in [
        ("trafficDistribution: PreferSameZone", "Service"),
        ("", "Strict"),
    ] {
        let (found, _) = compile(spec, locality, &["a", "b", "d z=z3"], unknown);
        assert_eq!(found, [0, 1, 2], "{spec} {locality}");
    }
}

#[test]
fn a_node_that_changes_its_zone_recompiles_what_depends_on_it() {
    let mut catalog = Catalog::new(NodeIdentity {
        name: "a".into(),
        zone: Some("z2".into()),
        region: None,
    });
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: n}\nspec: {clusterIP: 10.0.0.1, \
        ports: [{port: 80}], trafficDistribution: PreferSameZone}\n---\napiVersion: discovery.k8s.io/v1\n\
        kind: EndpointSlice\nmetadata: {name: s-1, namespace: n, labels: {kubernetes.io/service-name: s}}\n\
        addressType: IPv4\nports: [{port: 1}]\nendpoints: [{addresses: [10.1.0.0], nodeName: b}, \
        {addresses: [10.1.0.1], nodeName: c}]\n";
    catalog.set_file(Path::new("s.yaml"), Some(parse("s.yaml", service)));
    assert_eq!(plan_of(&catalog, "s"), "10.0.0.1 => 10.1.0.0:1 10.1.0.1:1");
    let update = catalog.set_file(Path::new("nodes.yaml"), Some(parse("nodes.yaml", NODES)));
    assert_eq!(update.changes.len(), 1);
    assert_eq!(
        plan_of(&catalog, "s"),
        "10.0.0.1 => (10.1.0.0:1) 10.1.0.1:1"
    );
}
