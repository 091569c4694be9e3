//! `mesh.dev/v1alpha1` MeshPolicy: its targets, and that its sections go with them.

use super::metadata::{Texts, created_s};
use super::path::FieldPath;
use super::policy_sections::Sections;
use super::policy_spec::{MeshPolicy, TargetRef};
use super::report::Report;
use crate::model::{Kind, Policy, PolicyAim, PolicyTarget};
use std::sync::Arc;

/// Targets of one policy, as Gateway API's own policies have it.
const TARGETS_MAX: usize = 16;

/// Sections that belong to the Service that receives requests.
const OF_RECEIVERS: [&str; 5] = [
    "failureMode",
    "loadBalancing",
    "circuitBreaker",
    "outlierDetection",
    "connection",
];

/// Reduces a MeshPolicy to what the mesh acts on.
pub(super) fn convert(
    policy: &MeshPolicy,
    namespace: &Arc<str>,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Policy {
    let path = FieldPath::of("spec.targetRefs");
    let given = &policy.spec.target_refs;
    if given.is_empty() {
        let remedy = "name at least one Service: {group: \"\", kind: Service, name: …}";
        report.error(&path, "the policy targets nothing", remedy);
    }
    if given.len() > TARGETS_MAX {
        let message = format!("{} targets, more than {TARGETS_MAX}", given.len());
        report.error(&path, &message, "write several policies");
    }
    let mut targets = Vec::new();
    for (index, target) in given.iter().enumerate() {
        if let Some(to) = convert_target(target, &path.index(index), texts, report) {
            targets.push(PolicyTarget { to, index });
        }
    }
    if targets
        .iter()
        .any(|target| matches!(target.to, PolicyAim::Route(..)))
    {
        refuse_on_routes(report);
    }
    let mut sections = Sections {
        namespace: Arc::clone(namespace),
        texts,
        report,
    };
    let policy = Policy {
        created_s: created_s(&policy.metadata),
        targets,
        backend: sections.backend(&policy.spec),
        call: sections.call(&policy.spec),
    };
    if policy.sections().next().is_none() {
        let remedy = "add a section, like timeouts: {request: 2s}";
        report.warn(
            &FieldPath::of("spec"),
            "the policy has no section and no effect",
            remedy,
        );
    }
    policy
}

fn convert_target(
    target: &TargetRef,
    path: &FieldPath,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Option<PolicyAim> {
    let name = texts.share(&target.name);
    let section = texts.share_some(target.section_name.as_deref());
    match (target.group.as_str(), target.kind.as_str()) {
        ("" | "core", "Service") => Some(PolicyAim::Service(name, section)),
        ("gateway.networking.k8s.io", "GRPCRoute") => {
            Some(PolicyAim::Route(Kind::GrpcRoute, name, section))
        }
        ("gateway.networking.k8s.io", "HTTPRoute") => {
            Some(PolicyAim::Route(Kind::HttpRoute, name, section))
        }
        _ => {
            let remedy = "target a Service (group \"\"), an HTTPRoute or a GRPCRoute (group gateway.networking.k8s.io)";
            report.error(path, "a policy cannot target this kind", remedy);
            None
        }
    }
}

/// Refuses, on a policy for a route, what belongs to the Service that receives its requests.
fn refuse_on_routes(report: &mut Report<'_, '_>) {
    let Some(spec) = report.root().get("spec") else {
        return;
    };
    let path = FieldPath::of("spec");
    let is_budget = |key: &str| {
        key == "retry"
            && spec
                .get("retry")
                .and_then(|retry| retry.get("budget"))
                .is_some()
    };
    for key in spec.entries().iter().map(|entry| &*entry.key) {
        let at = match key {
            _ if OF_RECEIVERS.contains(&key) => path.field(key),
            _ if is_budget(key) => path.field(key).field("budget"),
            _ => continue,
        };
        let remedy = "put it into a policy for the Service that receives the requests";
        report.error(&at, "cannot be set on a route", remedy);
    }
}
