//! The reconciler over real manifests and a kernel that is a closure.

use super::{Inbox, Reconciler, SyncReport, start};
use crate::api::{RouteBackend, RouteRule, RoutedPort, Routes, RuleSet, Severity};
use crate::config;
use crate::model::NodeIdentity;
use crate::observe::Progress;
use crate::plan::{Catalog, ServiceChange};
use crate::source::Batch;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: inventory, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  ports: [{name: grpc, port: 50051, targetPort: 8080, protocol: TCP}]
";
const SLICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: inventory-1, namespace: shop, labels: {kubernetes.io/service-name: inventory}}
addressType: IPv4
ports: [{name: grpc, port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.1.0.5], conditions: {ready: true}}]
";

fn batch(files: &[(&str, Option<&str>)]) -> Batch {
    let files = files.iter().map(|(path, text)| {
        let path: Arc<Path> = Path::new(path).into();
        let parsed = text.map(|text| config::parse_file(&path, text.as_bytes()));
        (path, parsed)
    });
    Batch {
        seen: Instant::now(),
        files: files.collect(),
        problems: vec![],
    }
}

fn reconciler(progress: &Progress) -> Reconciler {
    Reconciler::new(
        Catalog::new(NodeIdentity::named("node-1")),
        "test".to_owned(),
        Box::new(Vec::new),
        progress.clone(),
    )
}

#[test]
fn a_batch_reaches_the_kernel_once_and_its_generation_is_in_force() {
    let progress = Progress::default();
    let mut reconciler = reconciler(&progress);
    let mut applied = vec![];
    let mut sync = |changes: &[ServiceChange], _| {
        applied.push(changes.len());
        SyncReport::default()
    };

    let both = format!("{SERVICE}---{SLICE}");
    reconciler.load(batch(&[("a.yaml", Some(&both))]), &mut sync);
    assert_eq!(
        progress.figures().propagation.buckets.iter().sum::<u64>(),
        0
    );
    reconciler.change(batch(&[("a.yaml", None)]), &mut sync, Instant::now);

    assert_eq!(applied, [1, 1]);
    let figures = progress.figures();
    assert_eq!((figures.generation_seen, figures.generation_kernel), (2, 2));
    assert_eq!(figures.propagation.buckets.iter().sum::<u64>(), 1);
}

#[test]
fn what_found_no_room_keeps_the_generation_back_until_it_did() {
    let progress = Progress::default();
    let mut reconciler = reconciler(&progress);
    let refused = SyncReport {
        failures: vec!["service shop/inventory: no room".to_owned()],
        unapplied: vec!["service shop/inventory: no room".to_owned()],
        ..SyncReport::default()
    };

    reconciler.load(batch(&[("a.yaml", Some(SERVICE))]), &mut |_, _| {
        refused.clone()
    });
    assert_eq!(progress.figures().generation_kernel, 0);
    assert_eq!(progress.figures().apply_failures, 1);
    let overview = reconciler.overview().configuration;
    assert_eq!(
        overview.apply_error.unwrap(),
        "service shop/inventory: no room"
    );

    reconciler.maintain(&mut |_, _| SyncReport::default(), Instant::now());
    assert_eq!(progress.figures().generation_kernel, 1);
    assert_eq!(reconciler.overview().configuration.apply_error, None);
}

#[test]
fn a_wrong_object_is_counted_and_told_and_the_others_are_in_force() {
    let progress = Progress::default();
    let mut reconciler = reconciler(&progress);
    let wrong = SLICE.replace("10.1.0.5", "10.1.0.555");
    let files = [("a.yaml", Some(SERVICE)), ("b.yaml", Some(wrong.as_str()))];

    reconciler.load(batch(&files), &mut |_, _| SyncReport::default());

    let overview = reconciler.overview().configuration;
    assert_eq!((overview.services, overview.rejected), (1, 1));
    assert_eq!(progress.figures().rejected, 1);
    let problem = overview
        .problems
        .iter()
        .find(|problem| problem.severity == Severity::Error)
        .unwrap();
    assert_eq!(problem.file, "b.yaml");
    assert!(problem.text.contains("10.1.0.555"), "{}", problem.text);
}

/// The thread, with a channel that tells what it gave to the kernel.
fn started(progress: &Progress) -> (Inbox, crate::lifecycle::Worker, Receiver<usize>) {
    let (inbox, outlet) = Inbox::new();
    let (applied, seen) = channel();
    let sync = move |changes: &[ServiceChange], _: Instant| {
        if !changes.is_empty() {
            applied.send(changes.len()).unwrap();
        }
        SyncReport::default()
    };
    let worker = start(reconciler(progress), outlet, sync, Instant::now).unwrap();
    (inbox, worker, seen)
}

#[test]
fn the_thread_applies_what_is_put_answers_what_is_asked_and_ends_when_told() {
    let progress = Progress::default();
    let (inbox, worker, seen) = started(&progress);
    let both = format!("{SERVICE}---{SLICE}");
    inbox.put(batch(&[("a.yaml", Some(&both))]));
    assert_eq!(seen.recv().unwrap(), 1);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let inquiries = inbox.inquiries();
    let plans = runtime.block_on(inquiries.plans()).unwrap();
    let services: Vec<_> = plans.services().collect();
    assert_eq!(services[0].name, "shop/inventory");
    assert_eq!(services[0].ports[0].families[0].endpoints_in_use, 1);
    let endpoints: Vec<_> = plans.endpoints().collect();
    assert_eq!((plans.service_count(), plans.endpoint_count()), (1, 1));
    assert_eq!(endpoints[0].address, "10.1.0.5:8080".parse().unwrap());
    assert_eq!(
        (endpoints[0].state.as_str(), endpoints[0].weight),
        ("in use", 1)
    );
    assert_eq!(runtime.block_on(inquiries.problems()).unwrap().total, 0);

    inbox.stop();
    worker.join().unwrap();
    let late = runtime.block_on(inquiries.plans());
    assert_eq!(late.unwrap_err(), super::NoAnswer::Stopping);
}

#[test]
fn routes_are_told_with_their_rules_and_why_a_share_goes_nowhere() {
    let route = "---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: inventory}]
  rules:
  - name: first
    matches: [{method: {service: shop.Inventory}}]
    backendRefs: [{name: inventory, port: 50051, weight: 9}, {name: gone, port: 1}]
---
apiVersion: mesh.dev/v1alpha1
kind: MeshPolicy
metadata: {name: p, namespace: shop}
spec: {targetRefs: [{kind: Service, name: inventory}], failureMode: Closed, timeouts: {request: 1s}}
";
    let mut catalog = Catalog::new(NodeIdentity::named("node-a"));
    let text = format!("{SERVICE}---{SLICE}{route}");
    let parsed = config::parse_file(Path::new("a.yaml"), text.as_bytes());
    catalog.set_file(Path::new("a.yaml"), Some(parsed));

    let routes = Routes::from(&**catalog.routes());

    let share = |to: Option<&str>, problem: Option<&str>, weight: u32| RouteBackend {
        to: to.map(str::to_owned),
        problem: problem.map(str::to_owned),
        weight,
        endpoints: usize::from(to.is_some()),
    };
    let rule = RouteRule {
        name: "GRPCRoute shop/r rule first".to_owned(),
        matches: vec!["shop.Inventory/*".to_owned()],
        backends: vec![
            share(Some("shop/inventory:50051"), None, 9),
            share(None, Some("there is no Service shop/gone"), 1),
        ],
        set_by: vec![("timeouts".to_owned(), "MeshPolicy shop/p".to_owned())],
    };
    let port = RoutedPort {
        service: "shop/inventory".to_owned(),
        port: 50051,
        ipv6: false,
        failure_mode: "Closed".to_owned(),
        rule_sets: vec![RuleSet {
            callers: None,
            rules: vec![rule],
        }],
    };
    assert_eq!(routes, Routes { ports: vec![port] });
}
