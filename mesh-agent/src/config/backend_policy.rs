//! `gateway.networking.x-k8s.io/v1alpha1` XBackendTrafficPolicy: its `retryConstraint` (GEP-3388).

use super::duration::{EXPECTED, parse_duration};
use super::metadata::{Texts, created_s};
use super::path::FieldPath;
use super::reference::Reference;
use super::report::Report;
use super::route::Manifest;
use crate::model::{BackendSections, Policy, PolicyAim, PolicyTarget, RetryBudget};
use gateway_api::apis::experimental::xbackendtrafficpolicies::{
    XBackendTrafficPolicyRetryConstraint, XBackendTrafficPolicySpec,
    XBackendTrafficPolicyTargetRefs,
};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Targets of one policy, as Gateway API has it.
const TARGETS_MAX: usize = 16;

/// `budget.percent` where none is given, as Gateway API has it.
const PERCENT: u32 = 20;

/// The largest `minRetryRate.count`, as Gateway API has it.
const RETRIES_MIN_MAX: u32 = 1_000_000;

/// The longest `interval`, as Gateway API has it.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

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
    let policy = Policy {
        created_s: created_s(&policy.metadata),
        targets: targets(&spec.target_refs, texts, report),
        backend: BackendSections {
            retry_budget: spec
                .retry_constraint
                .as_ref()
                .map(|constraint| budget(constraint, report)),
            ..BackendSections::default()
        },
        ..Policy::default()
    };
    if policy.sections().next().is_none() {
        let remedy = "add spec.retryConstraint; `{}` stands for its defaults";
        let message = "the policy has no retryConstraint and no effect";
        report.warn(&path, message, remedy);
    }
    policy
}

fn targets(
    given: &[XBackendTrafficPolicyTargetRefs],
    texts: &mut Texts,
    report: &mut Report<'_, '_>,
) -> Vec<PolicyTarget> {
    let path = FieldPath::of("spec.targetRefs");
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
        let at = path.index(index);
        let form = Reference {
            group: Some(&target.group),
            kind: Some(&target.kind),
            name: &target.name,
            ..Reference::default()
        };
        form.check(&at, report);
        if given[..index].contains(target) {
            report.error(
                &at,
                "a second reference to the same object",
                "name each target once",
            );
        }
        if matches!((&*target.group, &*target.kind), ("" | "core", "Service")) {
            let to = PolicyAim::Service(texts.share(&target.name), None);
            targets.push(PolicyTarget { to, index });
        } else {
            let remedy = "target a Service (group \"\")";
            report.error(&at, "the policy cannot target this kind", remedy);
        }
    }
    targets
}

fn budget(spec: &XBackendTrafficPolicyRetryConstraint, report: &mut Report<'_, '_>) -> RetryBudget {
    let defaults = RetryBudget::default();
    let path = FieldPath::of("spec.retryConstraint");
    let (budget_at, rate_at) = (path.field("budget"), path.field("minRetryRate"));
    let (budget, rate) = (spec.budget.as_ref(), spec.min_retry_rate.as_ref());
    let mut number = |value: Option<i64>, at: FieldPath, range: RangeInclusive<u32>| {
        let value = value?;
        let read = u32::try_from(value)
            .ok()
            .filter(|value| range.contains(value));
        if read.is_none() {
            let remedy = format!("use a number from {} to {}", range.start(), range.end());
            report.error(&at, "out of range", &remedy);
        }
        read
    };
    let percent = number(
        budget.and_then(|b| b.percent),
        budget_at.field("percent"),
        0..=100,
    );
    let count = number(
        rate.and_then(|r| r.count),
        rate_at.field("count"),
        1..=RETRIES_MIN_MAX,
    );
    let mut interval = |text: Option<&str>, at: &FieldPath, least: Duration| {
        let text = text?;
        let read = parse_duration(text).filter(|time| (least..=INTERVAL_MAX).contains(time));
        if read.is_none() {
            let remedy = format!("use {EXPECTED}, {least:?} at least and an hour at most");
            report.error(&at.field("interval"), "no interval", &remedy);
        }
        read
    };
    let budget_interval = budget.and_then(|b| b.interval.as_deref());
    let rate_interval = rate.and_then(|r| r.interval.as_deref());
    let second = Duration::from_secs(1);
    let interval_of_budget = interval(budget_interval, &budget_at, second);
    let interval_of_rate = interval(rate_interval, &rate_at, Duration::from_millis(1));
    RetryBudget {
        percent: f64::from(percent.unwrap_or(PERCENT)),
        interval: interval_of_budget.unwrap_or(defaults.interval),
        retries_min: count.unwrap_or(defaults.retries_min),
        retries_min_interval: interval_of_rate.unwrap_or(defaults.retries_min_interval),
    }
}
