//! Whatever the sequence of changes, the catalog is what loading the last state at once would give.

use super::{Catalog, apply, catalog, parse, service, slice};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What one file contains: services by (name, address), slices by (service, name, endpoint), and whether it is garbage.
#[derive(Clone, Debug)]
struct Content {
    services: Vec<(u8, u8)>,
    slices: Vec<(u8, u8, u8)>,
    node_zone: Option<u8>,
    locality: Option<(u8, bool)>,
    /// A route by name, the Service it is attached to, the one that gets its requests, and whether it is a consumer's.
    route: Option<(u8, u8, u8, bool)>,
    /// A policy for a route: by route, and the Service it falls back to.
    fallback: Option<(u8, u8)>,
}

impl Content {
    fn text(&self) -> String {
        let mut text = String::new();
        for (name, address) in &self.services {
            text += &service(&format!("s{name}"), &format!("10.0.0.{}", address + 1));
        }
        for (service, name, endpoint) in &self.slices {
            let address = format!("10.1.0.{}], zone: [z{endpoint}]", endpoint + 1);
            let address = address
                .replace("zone: [z", "zone: z")
                .replace(&format!("z{endpoint}]"), &format!("z{endpoint}"));
            text += &slice(&format!("s{service}"), &format!("e{name}"), &["ADDRESS"])
                .replace("ADDRESS]", &address);
        }
        if let Some(zone) = self.node_zone {
            text += &format!(
                "---\n{{apiVersion: v1, kind: Node, metadata: {{name: node-a, labels: {{topology.kubernetes.io/zone: z{zone}}}}}}}\n"
            );
        }
        if let Some((service, is_strict)) = self.locality {
            let locality = if is_strict { "Strict" } else { "Failover" };
            text += &format!(
                "---\n{{apiVersion: mesh.dev/v1alpha1, kind: MeshPolicy, metadata: {{name: p{service}, namespace: n}}, \
                 spec: {{targetRefs: [{{kind: Service, name: s{service}}}], loadBalancing: {{locality: {locality}}}}}}}\n"
            );
        }
        if let Some((name, parent, backend, is_consumer)) = self.route {
            let namespace = if is_consumer { "m" } else { "n" };
            text += &format!(
                "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {{name: r{name}, namespace: {namespace}}}, \
                 spec: {{parentRefs: [{{group: '', kind: Service, name: s{parent}, namespace: n}}], \
                 rules: [{{backendRefs: [{{name: s{backend}, namespace: n, port: 80}}]}}]}}}}\n"
            );
        }
        if let Some((route, backend)) = self.fallback {
            text += &format!(
                "---\n{{apiVersion: mesh.dev/v1alpha1, kind: MeshPolicy, metadata: {{name: f{route}, namespace: n}}, spec: {{targetRefs: \
                 [{{group: gateway.networking.k8s.io, kind: GRPCRoute, name: r{route}}}], \
                 fallback: {{backendRef: {{name: s{backend}, port: 80}}}}}}}}\n"
            );
        }
        text
    }
}

fn content() -> impl Strategy<Value = Content> {
    (
        prop::collection::vec((0u8..4, 0u8..4), 0..3),
        prop::collection::vec((0u8..4, 0u8..3, 0u8..4), 0..3),
        prop::option::weighted(0.2, 0u8..3),
        prop::option::weighted(0.3, (0u8..4, any::<bool>())),
        prop::option::weighted(0.5, (0u8..3, 0u8..4, 0u8..4, any::<bool>())),
        prop::option::weighted(0.3, (0u8..3, 0u8..4)),
    )
        .prop_map(
            |(services, slices, node_zone, locality, route, fallback)| Content {
                services,
                slices,
                node_zone,
                locality,
                route,
                fallback,
            },
        )
}

type Step = Vec<(u8, Option<Content>)>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let file = (0u8..4, prop::option::weighted(0.8, content()));
    prop::collection::vec(prop::collection::vec(file, 1..3), 1..12)
}

fn set(catalog: &mut Catalog, files: &BTreeMap<u8, Option<String>>) -> crate::plan::Update {
    let files = files.iter().map(|(file, text)| {
        let path = format!("f{file}.yaml");
        let parsed = text.as_ref().map(|text| parse(&path, text));
        (Arc::from(Path::new(&path)), parsed)
    });
    catalog.set_files(files.collect())
}

type Summary = (
    Vec<Arc<crate::plan::ServicePlan>>,
    Arc<crate::route::RouteTable>,
    Vec<String>,
    usize,
);

fn summary(catalog: &Catalog) -> Summary {
    let plans = catalog.services().cloned().collect();
    let problems = catalog.problems().iter().map(ToString::to_string).collect();
    (
        plans,
        Arc::clone(catalog.routes()),
        problems,
        catalog.rejected(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changes_add_up_to_the_last_state(steps in steps()) {
        let mut changed = catalog();
        let mut in_force = BTreeMap::new();
        let mut routes = Arc::default();
        let mut files: BTreeMap<u8, Option<String>> = BTreeMap::new();
        for step in steps {
            let batch: BTreeMap<u8, Option<String>> =
                step.iter().map(|(file, content)| (*file, content.as_ref().map(Content::text))).collect();
            files.extend(batch.clone());
            let update = set(&mut changed, &batch);
            apply(&mut in_force, &update.changes);
            routes = update.routes.unwrap_or(routes);

            files.retain(|_, text| text.is_some());
            let mut rebuilt = catalog();
            set(&mut rebuilt, &files);
            prop_assert_eq!(summary(&changed), summary(&rebuilt));
            prop_assert_eq!(&routes, changed.routes());
            prop_assert_eq!(changed.used(), rebuilt.used());
            prop_assert_eq!(in_force.values().cloned().collect::<Vec<_>>(), changed.services().cloned().collect::<Vec<_>>());
        }
    }

    #[test]
    fn files_that_break_and_heal_leave_no_trace(steps in steps(), broken in prop::collection::vec(0u8..4, 1..6)) {
        let mut changed = catalog();
        let mut rebuilt = catalog();
        for step in steps {
            let batch: BTreeMap<u8, Option<String>> =
                step.iter().map(|(file, content)| (*file, content.as_ref().map(Content::text))).collect();
            set(&mut changed, &batch);
            for file in &broken {
                let (plans, routes, ..) = summary(&changed);
                set(&mut changed, &BTreeMap::from([(*file, Some("{".to_owned()))]));
                prop_assert_eq!((plans, routes), (summary(&changed).0, summary(&changed).1));
            }
            set(&mut rebuilt, &batch);
            let heal: BTreeMap<u8, Option<String>> =
                broken.iter().map(|file| (*file, batch.get(file).cloned().unwrap_or(None))).collect();
            set(&mut changed, &heal);
            set(&mut rebuilt, &heal);
            prop_assert_eq!(summary(&changed), summary(&rebuilt));
        }
    }
}
