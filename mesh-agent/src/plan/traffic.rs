//! How requests are treated: the sections of the policies that hold, with what a route says itself in front.

use super::policies::Chain;
use crate::model::{BackendTraffic, CallTraffic, ObjectId, RouteRule, Timeouts};
use crate::route::{BackendSetBy, CallSetBy};
use std::time::Duration;

/// How a Service that receives requests treats them, and who says so.
pub(super) fn backend_traffic(policies: &Chain<'_>) -> (BackendTraffic, BackendSetBy) {
    let balancing = policies.find(|policy| policy.backend.load_balancing.as_ref());
    let breaker = policies.find(|policy| policy.backend.circuit_breaker);
    let outliers = policies.find(|policy| policy.backend.outlier_detection.as_ref());
    let budget = policies.find(|policy| policy.backend.retry_budget);
    let age = policies.find(|policy| policy.backend.connection_age_max);
    let set_by = BackendSetBy {
        load_balancing: balancing.map(|(named, _)| named.id.clone()),
        circuit_breaker: breaker.map(|(named, _)| named.id.clone()),
        outlier_detection: outliers.map(|(named, _)| named.id.clone()),
        retry_budget: budget.map(|(named, _)| named.id.clone()),
        connection: age.map(|(named, _)| named.id.clone()),
    };
    let balancing = balancing.and_then(|(_, section)| section.balancing.clone());
    let traffic = BackendTraffic {
        load_balancing: balancing.unwrap_or_default(),
        circuit_breaker: breaker.map(|(_, section)| section),
        outlier_detection: outliers.map(|(_, section)| section.clone()),
        retry_budget: budget.map(|(_, section)| section).unwrap_or_default(),
        connection_age_max: age.map(|(_, age)| age),
    };
    (traffic, set_by)
}

/// How requests to a Service or route are treated, and who says so.
pub(super) fn call_traffic(policies: &Chain<'_>) -> (CallTraffic, CallSetBy) {
    let timeouts = policies.find(|policy| policy.call.timeouts);
    let retry = policies.find(|policy| policy.call.retry.as_ref());
    let rate_limit = policies.find(|policy| policy.call.rate_limit.as_ref());
    let fault = policies.find(|policy| policy.call.fault);
    let fallback = policies.find(|policy| policy.call.fallback.as_ref());
    let set_by = CallSetBy {
        timeouts: timeouts.map(|(named, _)| named.id.clone()),
        retry: retry.map(|(named, _)| named.id.clone()),
        rate_limit: rate_limit.map(|(named, _)| named.id.clone()),
        fault: fault.map(|(named, _)| named.id.clone()),
        fallback: fallback.map(|(named, _)| named.id.clone()),
    };
    let traffic = CallTraffic {
        timeouts: timeouts.map(|(_, section)| section).unwrap_or_default(),
        retry: retry.map(|(_, section)| section.clone()),
        rate_limit: rate_limit.map(|(_, section)| section.clone()),
        fault: fault.map(|(_, section)| section).unwrap_or_default(),
        fallback: fallback.map(|(_, section)| section.clone()),
    };
    (traffic, set_by)
}

/// Puts what a rule says itself in front of any policy. Its `timeouts` say nothing of `streamIdle`, which stays.
pub(super) fn apply_inline(
    rule: &RouteRule,
    route: &ObjectId,
    traffic: &mut CallTraffic,
    set_by: &mut CallSetBy,
) {
    if rule.request_timeout.is_some() || rule.backend_request_timeout.is_some() {
        let bound = |time: Option<Duration>| time.filter(|time| !time.is_zero());
        traffic.timeouts = Timeouts {
            request: bound(rule.request_timeout),
            backend_request: bound(rule.backend_request_timeout),
            stream_idle: traffic.timeouts.stream_idle,
        };
        set_by.timeouts = Some(route.clone());
    }
    if let Some(retry) = &rule.retry {
        traffic.retry = Some(retry.clone());
        set_by.retry = Some(route.clone());
    }
}
