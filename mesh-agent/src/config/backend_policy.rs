//! `gateway.networking.x-k8s.io/v1alpha1` XBackendTrafficPolicy: its `retryConstraint` (GEP-3388).

use super::duration::{EXPECTED, parse_duration};
use super::metadata::{Texts, created_s};
use super::path::FieldPath;
use super::report::Report;
use super::route::Manifest;
use crate::model::{BackendSections, Policy, PolicyAim, PolicyTarget, RetryBudget};
use gateway_api::apis::experimental::xbackendtrafficpolicies::XBackendTrafficPolicySpec;
use std::time::Duration;

/// Reduces an XBackendTrafficPolicy to a policy that only sets the budget of retries.
pub(super) fn convert(
    policy: &Manifest<XBackendTrafficPolicySpec>,
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Policy {
    let spec = &policy.spec;
    let path = FieldPath::of("spec");
    if spec.session_persistence.is_some() {
        let remedy = "use sessionAffinity of the Service, or MeshPolicy loadBalancing RingHash";
        let path = path.field("sessionPersistence");
        report.warn(&path, "not implemented in the mesh, has no effect", remedy);
    }
    let mut targets = Vec::new();
    for (index, target) in spec.target_refs.iter().enumerate() {
        if matches!((&*target.group, &*target.kind), ("" | "core", "Service")) {
            let to = PolicyAim::Service(texts.share(&target.name), None);
            targets.push(PolicyTarget { to, index });
        } else {
            let at = path.field("targetRefs").index(index);
            let remedy = "target a Service (group \"\")";
            report.error(&at, "the policy cannot target this kind", remedy);
        }
    }
    if spec.target_refs.is_empty() {
        let remedy = "name at least one Service: {group: \"\", kind: Service, name: …}";
        report.error(
            &path.field("targetRefs"),
            "the policy targets nothing",
            remedy,
        );
    }
    Policy {
        created_s: created_s(&policy.metadata),
        targets,
        backend: BackendSections {
            retry_budget: Some(budget(spec, report)),
            ..BackendSections::default()
        },
        ..Policy::default()
    }
}

fn budget(spec: &XBackendTrafficPolicySpec, report: &mut Report<'_, '_>) -> RetryBudget {
    let defaults = RetryBudget::default();
    let constraint = spec.retry_constraint.as_ref();
    let budget = constraint.and_then(|constraint| constraint.budget.as_ref());
    let rate = constraint.and_then(|constraint| constraint.min_retry_rate.as_ref());
    let path = FieldPath::of("spec.retryConstraint");
    let mut number = |value: Option<i64>, at: FieldPath, max: u32, default: u32| {
        let read = value.map(|value| u32::try_from(value).ok().filter(|value| *value <= max));
        if read == Some(None) {
            let remedy = format!("use a number from 0 to {max}");
            report.error(&at, "out of range", &remedy);
        }
        read.flatten().unwrap_or(default)
    };
    let percent = number(
        budget.and_then(|b| b.percent),
        path.field("budget").field("percent"),
        100,
        20,
    );
    let count_at = path.field("minRetryRate").field("count");
    let retries_min = number(
        rate.and_then(|rate| rate.count),
        count_at,
        1_000_000,
        defaults.retries_min,
    );
    let mut interval = |text: Option<&str>, field: &str, default: Duration| {
        let read = text.map(|text| parse_duration(text).filter(|time| !time.is_zero()));
        if read == Some(None) {
            let at = path.field(field).field("interval");
            report.error(&at, "no duration above zero", &format!("use {EXPECTED}"));
        }
        read.flatten().unwrap_or(default)
    };
    RetryBudget {
        percent: f64::from(percent),
        interval: interval(
            budget.and_then(|b| b.interval.as_deref()),
            "budget",
            defaults.interval,
        ),
        retries_min,
        retries_min_interval: interval(
            rate.and_then(|rate| rate.interval.as_deref()),
            "minRetryRate",
            defaults.retries_min_interval,
        ),
    }
}
