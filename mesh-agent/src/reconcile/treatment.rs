//! How requests are treated, in words: what is in force of each section, and who says so.

use crate::api::Treatment;
use crate::api::quantity::{count, duration};
use crate::grpc::Code;
use crate::model::{
    Algorithm, BackendTraffic, CodeSet, Fallback, FallbackAnswer, Fault, HashKey, HeaderEdits,
    LoadBalancing, ObjectId, OutlierDetection, RateLimit, RateLimitKey, Retry, RetryBudget,
    Timeouts,
};
use crate::route::{Backend, Mirror, Rule};
use std::time::Duration;

/// The sections that hold for the requests of a rule; those that nobody wrote are left out.
pub(super) fn of_rule(rule: &Rule) -> Vec<Treatment> {
    let (traffic, by) = (&rule.traffic, &rule.set_by);
    let fallback = traffic.fallback.as_ref();
    let sections = [
        section("timeouts", &by.timeouts, || timeouts(&traffic.timeouts)),
        section("retry", &by.retry, || told(traffic.retry.as_ref(), retry)),
        section("rateLimit", &by.rate_limit, || {
            told(traffic.rate_limit.as_ref(), rate_limit)
        }),
        section("fault", &by.fault, || fault(traffic.fault)),
        section("fallback", &by.fallback, || {
            told(fallback, |fallback| fallback_of(fallback, rule))
        }),
    ];
    sections.into_iter().flatten().collect()
}

/// The sections that hold for requests to a Service; how endpoints are chosen in any case.
pub(super) fn of_backend(backend: &Backend) -> Vec<Treatment> {
    let (traffic, by) = (&backend.traffic, &backend.set_by);
    let BackendTraffic {
        circuit_breaker,
        outlier_detection,
        ..
    } = traffic;
    let balancing = Treatment {
        section: "loadBalancing".to_owned(),
        says: load_balancing(&traffic.load_balancing),
        set_by: by.load_balancing.as_ref().map(ToString::to_string),
    };
    let sections = [
        section("circuitBreaker", &by.circuit_breaker, || {
            told(circuit_breaker.as_ref(), |breaker| {
                format!(
                    "at most {}, {}, {} waiting",
                    plural(breaker.connections_max, "connection"),
                    plural(breaker.requests_max, "request"),
                    breaker.pending_max
                )
            })
        }),
        section("outlierDetection", &by.outlier_detection, || {
            told(outlier_detection.as_ref(), outliers)
        }),
        section("retry.budget", &by.retry_budget, || {
            budget(&traffic.retry_budget)
        }),
        section("connection", &by.connection, || {
            told(traffic.connection_age_max.as_ref(), |age| {
                format!("at most {} old", time(*age))
            })
        }),
    ];
    std::iter::once(balancing)
        .chain(sections.into_iter().flatten())
        .collect()
}

/// What is done to requests and responses, and who gets copies.
pub(super) fn edits(
    request: &HeaderEdits,
    response: &HeaderEdits,
    mirrors: &[Mirror],
) -> Vec<String> {
    let mut told = Vec::new();
    for (whose, edits) in [("request", request), ("response", response)] {
        let remove = edits.remove.iter();
        told.extend(remove.map(|name| format!("{whose}: without {name}")));
        for (verb, headers) in [("set", &edits.set), ("add", &edits.add)] {
            told.extend(headers.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                format!("{whose}: {verb} {name}: {value}")
            }));
        }
    }
    told.extend(mirrors.iter().map(|mirror| {
        let to = match &mirror.to {
            Ok(backend) => format!("{}:{}", backend.name, backend.port),
            Err(problem) => format!("nowhere, {problem}"),
        };
        format!(
            "{} of {} copied to {to}",
            mirror.numerator, mirror.denominator
        )
    }));
    told
}

fn section(
    name: &str,
    set_by: &Option<ObjectId>,
    says: impl FnOnce() -> String,
) -> Option<Treatment> {
    let set_by = set_by.as_ref()?;
    Some(Treatment {
        section: name.to_owned(),
        says: says(),
        set_by: Some(set_by.to_string()),
    })
}

fn told<T>(section: Option<&T>, tell: impl FnOnce(&T) -> String) -> String {
    section.map_or_else(|| "off".to_owned(), tell)
}

/// Joins what is there; nothing: `off`.
fn joined(parts: impl IntoIterator<Item = Option<String>>) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return "off".to_owned();
    }
    parts.join(", ")
}

fn timeouts(timeouts: &Timeouts) -> String {
    let bounds = [
        ("request", timeouts.request),
        ("backendRequest", timeouts.backend_request),
        ("streamIdle", timeouts.stream_idle),
    ];
    joined(bounds.map(|(name, bound)| Some(format!("{name} {}", time(bound?)))))
}

fn retry(retry: &Retry) -> String {
    let mut codes = names(retry.codes);
    codes.extend(retry.http_codes.iter().map(|code| format!("HTTP {code}")));
    codes.extend(retry.retries_cuts.then(|| "lost connections".to_owned()));
    format!(
        "{} more on {}, after {} to {}",
        plural(retry.attempts, "attempt"),
        if codes.is_empty() {
            "no status".to_owned()
        } else {
            codes.join(", ")
        },
        time(retry.backoff_base),
        time(retry.backoff_max)
    )
}

fn rate_limit(limit: &RateLimit) -> String {
    let per = match &limit.per {
        RateLimitKey::Total => "all callers together".to_owned(),
        RateLimitKey::Source => "each calling workload".to_owned(),
        RateLimitKey::Header(name) => format!("each value of header {name}"),
    };
    format!(
        "{} a second for {per}, burst {}",
        plural(limit.requests_per_second.get(), "request"),
        limit.burst
    )
}

fn fault(fault: Fault) -> String {
    let delay = fault
        .delay
        .map(|(percent, length)| format!("{percent} % wait for {}", time(length)));
    let abort = fault.abort.map(|(percent, code)| {
        let code = Code::of(code.into()).name();
        format!("{percent} % get {code}")
    });
    joined([delay, abort])
}

fn fallback_of(fallback: &Fallback, rule: &Rule) -> String {
    let on = &fallback.on;
    let reasons = [
        ("NoEndpoint", on.no_endpoint),
        ("ConnectFailure", on.connect_failure),
        ("CircuitOpen", on.circuit_open),
        ("RetriesExhausted", on.retries_exhausted),
    ];
    let reasons = joined(reasons.map(|(name, is_on)| is_on.then(|| name.to_owned())));
    let answer = match (&fallback.answer, &rule.fallback) {
        (FallbackAnswer::Backend(name, port), Some(Err(problem))) => {
            format!("{name}:{port} ({problem})")
        }
        (FallbackAnswer::Backend(name, port), _) => format!("{name}:{port}"),
        (FallbackAnswer::Status(code, message), _) => {
            format!("{} {message:?}", Code::of((*code).into()).name())
        }
        (FallbackAnswer::Message(bytes), _) => {
            format!("a message of {}", count(bytes.len(), "byte"))
        }
    };
    format!("{answer} on {reasons}")
}

fn load_balancing(balancing: &LoadBalancing) -> String {
    let algorithm = match &balancing.algorithm {
        Algorithm::PeakEwma => "PeakEwma".to_owned(),
        Algorithm::LeastRequest => "LeastRequest".to_owned(),
        Algorithm::RoundRobin => "RoundRobin".to_owned(),
        Algorithm::Random => "Random".to_owned(),
        Algorithm::RingHash(HashKey::Header(name)) => format!("RingHash on header {name}"),
        Algorithm::RingHash(HashKey::Source) => "RingHash on the source".to_owned(),
    };
    let start = balancing.slow_start;
    joined([
        Some(algorithm),
        start.map(|start| format!("slow start {}", time(start))),
    ])
}

fn outliers(outliers: &OutlierDetection) -> String {
    let consecutive = outliers.consecutive_failures;
    let percentage = outliers.failure_percentage.map(|share| {
        format!(
            "more than {} % of at least {} in {}",
            share.threshold,
            plural(share.request_volume, "request"),
            time(outliers.interval)
        )
    });
    let failures = joined([
        consecutive.map(|count| format!("{count} in a row")),
        percentage,
    ]);
    format!(
        "{failures}; failures: {}; out for {} to {}, at most {} %",
        names(outliers.codes).join(", "),
        time(outliers.base_ejection_time),
        time(outliers.ejection_time_max),
        outliers.ejection_percent_max
    )
}

fn budget(budget: &RetryBudget) -> String {
    format!(
        "{} % of the requests of {}, at least {} in {}",
        budget.percent,
        time(budget.interval),
        budget.retries_min,
        time(budget.retries_min_interval)
    )
}

fn names(codes: CodeSet) -> Vec<String> {
    let all = Code::ALL.into_iter();
    all.filter(|code| codes.contains(code.number()))
        .map(|code| code.name().to_owned())
        .collect()
}

fn plural(number: u32, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

fn time(time: Duration) -> String {
    duration(time.as_secs_f64())
}
