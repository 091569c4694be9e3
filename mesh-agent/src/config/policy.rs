//! `mesh.dev/v1alpha1` MeshPolicy: what of it is in force, and what is not yet.

use super::metadata::{Texts, created_s};
use super::path::FieldPath;
use super::policy_spec::{MeshPolicy, TargetRef};
use super::report::Report;
use crate::model::{Policy, PolicyTarget};

/// The one setting that is in force: section and field.
const LOAD_BALANCING: &str = "loadBalancing";
const LOCALITY: &str = "locality";

/// Reduces a MeshPolicy to what is in force, and names every section that is not.
pub(super) fn convert(
    policy: &MeshPolicy,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Policy {
    warn_of_sections(report);
    let locality = policy
        .spec
        .load_balancing
        .as_ref()
        .and_then(|section| section.locality);
    let path = FieldPath::of("spec.targetRefs");
    if policy.spec.target_refs.is_empty() {
        let remedy = "name at least one Service: {group: \"\", kind: Service, name: …}";
        report.error(&path, "the policy targets nothing", remedy);
    }
    let mut targets = Vec::new();
    for (index, target) in policy.spec.target_refs.iter().enumerate() {
        let at = path.index(index);
        if is_service(target, &at, locality.is_some(), report) {
            targets.push(PolicyTarget {
                service: texts.share(&target.name),
                port: texts.share_some(target.section_name.as_deref()),
                index,
            });
        }
    }
    Policy {
        created_s: created_s(&policy.metadata),
        targets,
        locality,
    }
}

fn is_service(
    target: &TargetRef,
    path: &FieldPath,
    sets_locality: bool,
    report: &mut Report<'_, '_>,
) -> bool {
    match (target.group.as_str(), target.kind.as_str()) {
        ("" | "core", "Service") => true,
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute") => {
            if sets_locality {
                let remedy = "target the Service that receives the connections";
                report.error(path, "loadBalancing cannot be set on a route", remedy);
            } else {
                let remedy = "target a Service, or wait for routes to come into force";
                report.warn(
                    path,
                    "routes are not in force: the target has no effect",
                    remedy,
                );
            }
            false
        }
        _ => {
            let remedy = "target a Service (group \"\"), an HTTPRoute or a GRPCRoute";
            report.error(path, "a policy cannot target this kind", remedy);
            false
        }
    }
}

/// Names every section and field of the spec that has no effect yet.
fn warn_of_sections(report: &mut Report<'_, '_>) {
    let message = "not implemented yet, has no effect";
    let remedy = "of a MeshPolicy only loadBalancing.locality is in force";
    let Some(spec) = report.root().get("spec") else {
        return;
    };
    for section in spec.entries() {
        let path = FieldPath::of("spec").field(&section.key);
        match section.key.as_ref() {
            "targetRefs" => {}
            LOAD_BALANCING => {
                for field in section.value.entries() {
                    if field.key != LOCALITY {
                        report.warn(&path.field(&field.key), message, remedy);
                    }
                }
            }
            _ => report.warn(&path, message, remedy),
        }
    }
}
