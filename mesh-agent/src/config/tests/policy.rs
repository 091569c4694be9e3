//! Claims about reading a MeshPolicy.

use super::{check, parse};
use crate::model::{
    Algorithm, BackendSections, Body, CallSections, CircuitBreaker, CodeSet, FailurePercentage,
    Fallback, FallbackAnswer, FallbackReasons, Fault, HashKey, LoadBalancing, LoadBalancingSection,
    Locality, ObjectName, OutlierDetection, Policy, RateLimit, RateLimitKey, Retry, RetryBudget,
    Timeouts,
};
use std::num::NonZeroU32;
use std::time::Duration;

fn policy(sections: &str) -> String {
    on("{kind: Service, name: a}", sections)
}

fn on(target: &str, sections: &str) -> String {
    format!(
        "apiVersion: mesh.dev/v1alpha1\nkind: MeshPolicy\nmetadata: {{name: p, namespace: n}}\nspec:\n  \
         targetRefs: [{target}]\n  {}\n",
        sections.replace('\n', "\n  ")
    )
}

fn read(sections: &str) -> Policy {
    let parsed = parse(&policy(sections));
    assert_eq!(parsed.problems, [], "{sections}");
    match parsed.objects[0].body.as_deref() {
        Some(Body::Policy(policy)) => (**policy).clone(),
        other => panic!("{other:?}"),
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A policy with every section.
const FULL: &str = "failureMode: Closed\n\
         loadBalancing: {algorithm: RingHash, hashOn: {header: X-User}, locality: Strict, slowStart: 30s}\n\
         timeouts: {request: 2s, backendRequest: 500ms, streamIdle: 1h}\n\
         retry: {attempts: 4, codes: [UNAVAILABLE, ABORTED], backoff: {base: 10ms, max: 1s}, \
         budget: {percent: 30, interval: 5s, minRetryRate: {count: 3, interval: 2s}}}\n\
         circuitBreaker: {maxConnections: 1, maxRequests: 2, maxPending: 0}\n\
         outlierDetection: {consecutiveFailures: 0, failurePercentage: {threshold: 50}, codes: [INTERNAL], \
         interval: 1s, baseEjectionTime: 2s, maxEjectionTime: 3s, maxEjectionPercent: 50}\n\
         rateLimit: {requestsPerSecond: 500, burst: 100, per: {header: X-User}}\n\
         fault: {delay: {percent: 5, duration: 100ms}, abort: {percent: 1.5, status: UNAVAILABLE}}\n\
         fallback: {on: [RetriesExhausted], backendRef: {name: b, port: 81}}\n\
         connection: {maxAge: 30m}";

#[test]
fn every_section_of_receivers_is_read() {
    let backend = BackendSections {
        is_closed_on_failure: Some(true),
        load_balancing: Some(LoadBalancingSection {
            locality: Locality::Strict,
            balancing: Some(LoadBalancing {
                algorithm: Algorithm::RingHash(HashKey::Header("x-user".into())),
                slow_start: Some(ms(30_000)),
            }),
        }),
        circuit_breaker: Some(CircuitBreaker {
            connections_max: 1,
            requests_max: 2,
            pending_max: 0,
        }),
        outlier_detection: Some(OutlierDetection {
            consecutive_failures: None,
            failure_percentage: Some(FailurePercentage {
                threshold: 50.0,
                ..FailurePercentage::default()
            }),
            codes: CodeSet::of(&[13]),
            interval: ms(1_000),
            base_ejection_time: ms(2_000),
            ejection_time_max: ms(3_000),
            ejection_percent_max: 50.0,
        }),
        retry_budget: Some(RetryBudget {
            percent: 30.0,
            interval: ms(5_000),
            retries_min: 3,
            retries_min_interval: ms(2_000),
        }),
        connection_age_max: Some(ms(1_800_000)),
    };
    let policy = read(FULL);
    assert_eq!(policy.backend, backend);
    assert!(policy.is_about_requests());
}

#[test]
fn every_section_of_the_called_is_read() {
    let call = CallSections {
        timeouts: Some(Timeouts {
            request: Some(ms(2_000)),
            backend_request: Some(ms(500)),
            stream_idle: Some(ms(3_600_000)),
        }),
        retry: Some(Retry {
            attempts: 4,
            codes: CodeSet::of(&[14, 10]),
            backoff_base: ms(10),
            backoff_max: ms(1_000),
            ..Retry::default()
        }),
        rate_limit: Some(RateLimit {
            requests_per_second: NonZeroU32::new(500).unwrap(),
            burst: NonZeroU32::new(100).unwrap(),
            per: RateLimitKey::Header("x-user".into()),
        }),
        fault: Some(Fault {
            delay: Some((5.0, ms(100))),
            abort: Some((1.5, 14)),
        }),
        fallback: Some(Fallback {
            on: FallbackReasons {
                no_endpoint: false,
                connect_failure: false,
                circuit_open: false,
                retries_exhausted: true,
            },
            answer: FallbackAnswer::Backend(ObjectName::new("n", "b"), 81),
        }),
    };
    assert_eq!(read(FULL).call, call);
}

#[test]
fn a_section_that_is_there_has_its_defaults() {
    let policy = read(
        "retry: {}\ncircuitBreaker: {}\noutlierDetection: {}\nrateLimit: {requestsPerSecond: 7}\n\
         loadBalancing: {}\ntimeouts: {request: 0s}",
    );
    assert_eq!(policy.call.retry, Some(Retry::default()));
    assert_eq!(policy.backend.retry_budget, Some(RetryBudget::default()));
    assert_eq!(
        policy.backend.circuit_breaker,
        Some(CircuitBreaker::default())
    );
    assert_eq!(
        policy.backend.outlier_detection,
        Some(OutlierDetection::default())
    );
    assert_eq!(policy.call.rate_limit.unwrap().burst.get(), 7);
    assert_eq!(
        policy.backend.load_balancing,
        Some(LoadBalancingSection::default())
    );
    assert_eq!(policy.call.timeouts, Some(Timeouts::default()));
}

#[test]
fn a_fallback_is_a_backend_a_status_or_a_message() {
    for (section, expected) in [
        (
            "{status: NOT_FOUND, message: gone}",
            FallbackAnswer::Status(5, "gone".into()),
        ),
        ("{status: INTERNAL}", FallbackAnswer::Status(13, "".into())),
        (
            "{response: aGk=}",
            FallbackAnswer::Message(b"hi".as_slice().into()),
        ),
        (
            "{backendRef: {name: b, namespace: m, port: 1}}",
            FallbackAnswer::Backend(ObjectName::new("m", "b"), 1),
        ),
    ] {
        let fallback = read(&format!("fallback: {section}")).call.fallback.unwrap();
        assert_eq!(fallback.answer, expected, "{section}");
        assert_eq!(fallback.on, FallbackReasons::default());
    }
}

#[test]
fn what_only_the_kernel_needs_is_not_about_requests() {
    for (sections, expected) in [
        ("failureMode: Closed", false),
        ("loadBalancing: {locality: Strict}", false),
        ("connection: {maxAge: 1h}", false),
        ("loadBalancing: {algorithm: PeakEwma}", true),
        ("loadBalancing: {slowStart: 1s}", true),
        ("timeouts: {streamIdle: 1h}", true),
        ("outlierDetection: {}", true),
        ("circuitBreaker: {}", true),
        ("fault: {}", true),
    ] {
        assert_eq!(read(sections).is_about_requests(), expected, "{sections}");
    }
}

/// Checks that each policy is refused, and why among other things.
fn check_refused(rows: &[(&str, &str)]) {
    for (sections, expected) in rows {
        let parsed = parse(&policy(sections));
        let told = super::told(&parsed);
        assert!(
            told.iter().any(|told| told == expected),
            "{sections}: {told:?}"
        );
        assert!(parsed.objects[0].body.is_none(), "{sections}");
    }
}

#[test]
fn values_of_retry_and_load_balancing_are_checked() {
    check_refused(&[
        (
            "retry: {attempts: 5}",
            "6 spec.retry.attempts: too many retries",
        ),
        (
            "retry: {codes: [OK]}",
            "6 spec.retry.codes[0]: invalid value: string \"OK\", expected the name of a gRPC status other than OK, like UNAVAILABLE",
        ),
        (
            "retry: {codes: [unavailable]}",
            "6 spec.retry.codes[0]: invalid value: string \"unavailable\", expected the name of a gRPC status other than OK, like UNAVAILABLE",
        ),
        (
            "retry: {backoff: {base: 1s, max: 1ms}}",
            "6 spec.retry.backoff: the first delay is longer than the longest",
        ),
        (
            "retry: {backoff: {base: 25}}",
            "6 spec.retry.backoff.base: invalid type: integer `25`, expected a string",
        ),
        (
            "retry: {budget: {percent: 101}}",
            "6 spec.retry.budget.percent: invalid value: floating point `101.0`, expected a percentage from 0 to 100",
        ),
        (
            "retry: {budget: {interval: 0s}}",
            "6 spec.retry.budget.interval: must be longer than nothing",
        ),
        (
            "loadBalancing: {locality: Near}",
            "6 spec.loadBalancing.locality: unknown variant `Near`, expected one of `Service`, `Failover`, `Strict`, `Off`",
        ),
        (
            "loadBalancing: {algorithm: RingHash}",
            "6 spec.loadBalancing: RingHash needs to know what to hash",
        ),
        (
            "loadBalancing: {hashOn: {source: true}}",
            "6 spec.loadBalancing.hashOn: only RingHash hashes",
        ),
        (
            "loadBalancing: {algorithm: RingHash, hashOn: {source: true, header: x}}",
            "6 spec.loadBalancing.hashOn: not one thing to hash",
        ),
    ]);
}

#[test]
fn values_of_the_other_sections_are_checked() {
    check_refused(&[
        (
            "circuitBreaker: {maxRequests: 0}",
            "6 spec.circuitBreaker.maxRequests: no request could ever be sent",
        ),
        (
            "outlierDetection: {baseEjectionTime: 301s}",
            "6 spec.outlierDetection: the first ejection is longer than the longest",
        ),
        (
            "rateLimit: {requestsPerSecond: 0}",
            "6 spec.rateLimit.requestsPerSecond: no request would ever pass",
        ),
        (
            "rateLimit: {burst: 1}",
            "6 spec.rateLimit: missing field `requestsPerSecond`",
        ),
        ("fallback: {}", "6 spec.fallback: not one answer"),
        (
            "fallback: {status: INTERNAL, backendRef: {name: b, port: 1}}",
            "6 spec.fallback: not one answer",
        ),
        ("fallback: {message: m}", "6 spec.fallback: not one answer"),
        (
            "connection: {maxAge: 0s}",
            "6 spec.connection.maxAge: must be longer than nothing",
        ),
        ("timeout: {request: 2s}", "6 spec.timeout: unknown field"),
    ]);
}

#[test]
fn what_belongs_to_receivers_is_refused_on_a_route() {
    let route = "{group: gateway.networking.k8s.io, kind: GRPCRoute, name: r, sectionName: first}";
    check(
        &on(
            route,
            "failureMode: Open\nloadBalancing: {}\ncircuitBreaker: {}\noutlierDetection: {}\nconnection: {maxAge: 1h}\n\
             retry: {budget: {percent: 5}}",
        ),
        false,
        &[
            "6 spec.failureMode: cannot be set on a route",
            "7 spec.loadBalancing: cannot be set on a route",
            "8 spec.circuitBreaker: cannot be set on a route",
            "9 spec.outlierDetection: cannot be set on a route",
            "10 spec.connection: cannot be set on a route",
            "11 spec.retry.budget: cannot be set on a route",
        ],
    );
    check(
        &on(
            route,
            "timeouts: {request: 1s}\nretry: {attempts: 1}\nrateLimit: {requestsPerSecond: 1}\nfault: {}\n\
             fallback: {status: ABORTED}",
        ),
        true,
        &[],
    );
    check(
        &on("{kind: Gateway, name: g}", "retry: {}"),
        false,
        &["5 spec.targetRefs[0]: a policy cannot target this kind"],
    );
    check(
        &on("{kind: Service, name: g}", ""),
        true,
        &["4 spec: the policy has no section and no effect"],
    );
}

#[test]
fn values_of_a_standard_policy_are_checked() {
    let text = |spec: &str| {
        format!(
            "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\nmetadata: {{name: p}}\nspec:\n  \
             targetRefs: [{{group: '', kind: Service, name: a}}]\n  {spec}\n"
        )
    };
    check(&text("retryConstraint: {}"), true, &[]);
    for (spec, expected) in [
        ("budget: {percent: 101}", "budget.percent: out of range"),
        ("budget: {interval: 999ms}", "budget.interval: no interval"),
        ("budget: {interval: 1h1s}", "budget.interval: no interval"),
        (
            "minRetryRate: {interval: 0s}",
            "minRetryRate.interval: no interval",
        ),
        (
            "minRetryRate: {interval: 61m}",
            "minRetryRate.interval: no interval",
        ),
        (
            "minRetryRate: {count: 0}",
            "minRetryRate.count: out of range",
        ),
    ] {
        let expected = format!("6 spec.retryConstraint.{expected}");
        check(
            &text(&format!("retryConstraint: {{{spec}}}")),
            false,
            &[&expected],
        );
    }
    check(
        &text("sessionPersistence: {type: Cookie}"),
        true,
        &[
            "4 spec: the policy has no retryConstraint and no effect",
            "6 spec.sessionPersistence: not implemented in the mesh, has no effect",
        ],
    );
    let twice = "[{group: '', kind: Service, name: a}, {group: '', kind: Service, name: a}]";
    check(
        &text("retryConstraint: {}").replace("[{group: '', kind: Service, name: a}]", twice),
        false,
        &["5 spec.targetRefs[1]: a second reference to the same object"],
    );
    check(
        &text("retryConstraint: {}").replace("kind: Service", "kind: Bucket"),
        false,
        &["5 spec.targetRefs[0]: the policy cannot target this kind"],
    );
}
