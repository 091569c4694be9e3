//! The catalog through its outer door: manifests in, plans and changes out.

mod locality;
mod policies;
mod property;
mod routes;

use super::{Capacity, Catalog, ServiceChange, ServicePlan, Standing, Update};
use crate::config::parse_file;
use crate::model::{NodeIdentity, ObjectName, ParsedFile};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn catalog() -> Catalog {
    Catalog::new(NodeIdentity::named("node-a"))
}

fn parse(path: &str, text: &str) -> ParsedFile {
    parse_file(Path::new(path), text.as_bytes())
}

fn set(catalog: &mut Catalog, path: &str, text: &str) -> Update {
    catalog.set_file(Path::new(path), Some(parse(path, text)))
}

fn service(name: &str, ip: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: n}}\n\
         spec: {{clusterIP: {ip}, ports: [{{name: grpc, port: 80}}]}}\n"
    )
}

fn aged(name: &str, ip: &str, created: &str) -> String {
    service(name, ip).replace(
        "namespace: n}",
        &format!("namespace: n, creationTimestamp: '{created}'}}"),
    )
}

/// A slice whose endpoints are `address` or `address flags`.
fn slice(service: &str, name: &str, addresses: &[&str]) -> String {
    let endpoints: Vec<String> = addresses
        .iter()
        .map(|address| format!("{{addresses: [{address}]}}"))
        .collect();
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, namespace: n, \
         labels: {{kubernetes.io/service-name: {service}}}}}\naddressType: IPv4\n\
         ports: [{{name: grpc, port: 8080}}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// The plan as `addresses => endpoints`, unused endpoints in parentheses.
fn told(plan: &ServicePlan) -> String {
    let families = plan.ports.iter().flat_map(|port| &port.families);
    let families = families.map(|family| {
        let ips: Vec<String> = family.cluster_ips.iter().map(ToString::to_string).collect();
        let endpoints = family
            .endpoints
            .iter()
            .map(|endpoint| match endpoint.standing {
                Standing::InUse { .. } => endpoint.address.to_string(),
                Standing::NotReady | Standing::Terminating | Standing::OtherLocality => {
                    format!("({})", endpoint.address)
                }
            });
        format!(
            "{} => {}",
            ips.join(" "),
            endpoints.collect::<Vec<_>>().join(" ")
        )
    });
    families.collect::<Vec<_>>().join("; ")
}

fn plan_of(catalog: &Catalog, name: &str) -> String {
    let plan = catalog.service(&ObjectName::new("n", name));
    plan.map_or_else(|| "-".to_owned(), |plan| told(plan))
}

fn messages(catalog: &Catalog) -> Vec<String> {
    catalog.problems().iter().map(ToString::to_string).collect()
}

/// Applies changes to what was in force and fails if an address ever has two owners, or a change starts from something else
/// than what is in force.
fn apply(in_force: &mut BTreeMap<ObjectName, Arc<ServicePlan>>, changes: &[ServiceChange]) {
    for change in changes {
        assert_eq!(
            in_force.get(&change.name),
            change.old.as_ref(),
            "{}",
            change.name
        );
        match &change.new {
            Some(new) => in_force.insert(change.name.clone(), Arc::clone(new)),
            None => in_force.remove(&change.name),
        };
        let mut owners = BTreeMap::new();
        for plan in in_force.values() {
            for port in &plan.ports {
                for ip in port.families.iter().flat_map(|family| &family.cluster_ips) {
                    let other = owners.insert((*ip, port.port), &plan.name);
                    assert_eq!(other, None, "{ip} has two owners");
                }
            }
        }
    }
}

#[test]
fn a_service_and_its_slices_become_a_plan_in_any_order() {
    let mut catalog = catalog();
    let update = set(
        &mut catalog,
        "slice.yaml",
        &slice("a", "a-1", &["10.1.0.2", "10.1.0.1"]),
    );
    assert!(update.changes.is_empty());
    assert!(messages(&catalog)[0].contains("there is no Service n/a"));
    let update = set(&mut catalog, "service.yaml", &service("a", "10.0.0.1"));
    assert_eq!(update.changes.len(), 1);
    assert_eq!(
        plan_of(&catalog, "a"),
        "10.0.0.1 => 10.1.0.1:8080 10.1.0.2:8080"
    );
    assert_eq!(messages(&catalog), Vec::<String>::new());
    let update = catalog.set_file(Path::new("slice.yaml"), None);
    assert_eq!(update.changes.len(), 1);
    assert_eq!(plan_of(&catalog, "a"), "10.0.0.1 => ");
    catalog.set_file(Path::new("service.yaml"), None);
    assert_eq!(plan_of(&catalog, "a"), "-");
    assert_eq!(
        catalog.used(),
        Capacity {
            services: 0,
            endpoints: 0
        }
    );
}

#[test]
fn a_file_that_says_the_same_changes_nothing() {
    let mut catalog = catalog();
    let text = service("a", "10.0.0.1") + &slice("a", "a-1", &["10.1.0.1"]);
    assert_eq!(set(&mut catalog, "a.yaml", &text).changes.len(), 1);
    let update = set(&mut catalog, "a.yaml", &("# comment\n".to_owned() + &text));
    assert!(update.changes.is_empty());
    assert_eq!((update.generation, catalog.generation()), (2, 2));
}

#[test]
fn an_object_that_turns_bad_keeps_its_last_good_version_and_the_rest_goes_on() {
    let mut catalog = catalog();
    let good = slice("a", "a-1", &["10.1.0.1"]) + &slice("b", "b-1", &["10.1.0.2"]);
    set(
        &mut catalog,
        "services.yaml",
        &(service("a", "10.0.0.1") + &service("b", "10.0.0.2")),
    );
    set(&mut catalog, "slices.yaml", &good);
    let bad = good
        .replace("10.1.0.1]", "10.1.0.x]")
        .replace("10.1.0.2]", "10.1.0.3]");
    set(&mut catalog, "slices.yaml", &bad);
    assert_eq!(plan_of(&catalog, "a"), "10.0.0.1 => 10.1.0.1:8080");
    assert_eq!(plan_of(&catalog, "b"), "10.0.0.2 => 10.1.0.3:8080");
    assert_eq!(catalog.rejected(), 1);
    set(&mut catalog, "slices.yaml", &good);
    assert_eq!(catalog.rejected(), 0);
    assert_eq!(plan_of(&catalog, "b"), "10.0.0.2 => 10.1.0.2:8080");
}

#[test]
fn an_object_that_was_never_good_is_left_out() {
    let mut catalog = catalog();
    let update = set(&mut catalog, "a.yaml", &service("a", "10.0.0.300"));
    assert!(update.changes.is_empty());
    assert_eq!(
        (plan_of(&catalog, "a").as_str(), catalog.rejected()),
        ("-", 1)
    );
}

#[test]
fn a_file_that_does_not_parse_keeps_all_its_objects() {
    let mut catalog = catalog();
    let text = service("a", "10.0.0.1") + &slice("a", "a-1", &["10.1.0.1"]);
    set(&mut catalog, "a.yaml", &text);
    let update = set(&mut catalog, "a.yaml", &(text.clone() + "---\n{"));
    assert!(update.changes.is_empty());
    assert_eq!(catalog.rejected(), 2);
    assert_eq!(plan_of(&catalog, "a"), "10.0.0.1 => 10.1.0.1:8080");
    set(&mut catalog, "new.yaml", "{");
    assert_eq!(catalog.rejected(), 3);
    set(&mut catalog, "a.yaml", &text);
    assert_eq!(catalog.rejected(), 1);
    catalog.set_file(Path::new("new.yaml"), None);
    assert_eq!((catalog.rejected(), messages(&catalog).len()), (0, 0));
}

#[test]
fn an_object_that_moves_to_another_file_and_turns_bad_stays_in_force() {
    let mut catalog = catalog();
    set(&mut catalog, "a.yaml", &service("a", "10.0.0.1"));
    let update = catalog.set_files(vec![
        (Path::new("a.yaml").into(), None),
        (
            Path::new("b.yaml").into(),
            Some(parse("b.yaml", &service("a", "10.0.0.x"))),
        ),
    ]);
    assert!(update.changes.is_empty());
    assert_eq!(
        (plan_of(&catalog, "a").as_str(), catalog.rejected()),
        ("10.0.0.1 => ", 1)
    );
}

#[test]
fn of_two_declarations_the_first_in_config_order_is_in_force() {
    let mut catalog = catalog();
    set(&mut catalog, "b.yaml", &service("a", "10.0.0.2"));
    set(&mut catalog, "a.yaml", &service("a", "10.0.0.1"));
    assert_eq!(plan_of(&catalog, "a"), "10.0.0.1 => ");
    assert_eq!(catalog.rejected(), 1);
    let told = messages(&catalog);
    let duplicate = told.iter().find(|m| m.contains("declared twice")).unwrap();
    assert!(
        duplicate.starts_with("b.yaml:2: Service n/a") && duplicate.contains("a.yaml:2"),
        "{duplicate}"
    );
    catalog.set_file(Path::new("a.yaml"), None);
    assert_eq!(
        (plan_of(&catalog, "a").as_str(), catalog.rejected()),
        ("10.0.0.2 => ", 0)
    );
}

#[test]
fn the_older_of_two_services_keeps_a_cluster_ip() {
    let mut catalog = catalog();
    let mut in_force = BTreeMap::new();
    let young = aged("a", "10.0.0.1", "2024-01-02T00:00:00Z");
    let old = aged("b", "10.0.0.1", "2024-01-01T00:00:00Z");
    apply(&mut in_force, &set(&mut catalog, "a.yaml", &young).changes);
    assert_eq!(plan_of(&catalog, "a"), "10.0.0.1 => ");
    let update = set(&mut catalog, "b.yaml", &old);
    apply(&mut in_force, &update.changes);
    assert_eq!(
        (
            plan_of(&catalog, "a").as_str(),
            plan_of(&catalog, "b").as_str()
        ),
        ("", "10.0.0.1 => ")
    );
    assert!(
        messages(&catalog)
            .iter()
            .any(|m| m.contains("conflicts with Service n/b"))
    );
    let update = catalog.set_file(Path::new("b.yaml"), None);
    apply(&mut in_force, &update.changes);
    assert_eq!(plan_of(&catalog, "a"), "10.0.0.1 => ");
}

#[test]
fn addresses_that_services_swap_never_have_two_owners() {
    let mut catalog = catalog();
    let mut in_force = BTreeMap::new();
    let file = |a: &str, b: &str, c: &str| service("a", a) + &service("b", b) + &service("c", c);
    for text in [
        file("10.0.0.1", "10.0.0.2", "10.0.0.3"),
        file("10.0.0.2", "10.0.0.1", "10.0.0.3"),
        file("10.0.0.3", "10.0.0.2", "10.0.0.1"),
        file("10.0.0.1", "10.0.0.3", "10.0.0.2"),
        service("b", "10.0.0.1"),
    ] {
        let update = set(&mut catalog, "all.yaml", &text);
        apply(&mut in_force, &update.changes);
        let plans: Vec<_> = catalog.services().cloned().collect();
        assert_eq!(in_force.values().cloned().collect::<Vec<_>>(), plans);
    }
}

#[test]
fn references_that_lead_nowhere_are_told() {
    let mut catalog = catalog();
    let policy = "---\napiVersion: mesh.dev/v1alpha1\nkind: MeshPolicy\nmetadata: {name: NAME, namespace: n}\n\
        spec: {targetRefs: [{kind: Service, name: a, sectionName: grcp}, {kind: Service, name: b}], \
        loadBalancing: {locality: Off}}\n";
    let text = service("a", "10.0.0.1")
        + &slice("a", "a-1", &["10.1.0.1"]).replace("name: grpc", "name: http")
        + &policy.replace("NAME", "p")
        + &policy.replace("NAME", "q");
    set(&mut catalog, "a.yaml", &text);
    let told = messages(&catalog).join("\n");
    for expected in [
        "no EndpointSlice has a port of this name, only `http`",
        "Service n/a has no TCP port of this name (found `a` port `grcp`)",
        "MeshPolicy n/q: spec.loadBalancing: conflicts with MeshPolicy n/p",
        "there is no Service n/b: the target has no effect",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn more_than_the_capacity_is_told() {
    let mut catalog = catalog().with_capacity(Capacity {
        services: 2,
        endpoints: 1,
    });
    let text = service("a", "10.0.0.1") + &slice("a", "a-1", &["10.1.0.1", "10.1.0.2"]);
    set(&mut catalog, "a.yaml", &text);
    let told = messages(&catalog);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("more endpoints than the capacity of 1"),
        "{told:?}"
    );
}

#[test]
fn an_endpoint_in_two_slices_counts_once_and_at_its_best() {
    let mut catalog = catalog();
    let bad = slice("a", "a-1", &["10.1.0.1"])
        .replace("10.1.0.1]", "10.1.0.1], conditions: {ready: false}");
    let text = service("a", "10.0.0.1") + &bad + &slice("a", "a-2", &["10.1.0.1"]);
    set(&mut catalog, "a.yaml", &text);
    assert_eq!(plan_of(&catalog, "a"), "10.0.0.1 => 10.1.0.1:8080");
}
