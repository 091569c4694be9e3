//! `mesh.dev/v1alpha1` MeshPolicy as manifests write it.
//!
//! The whole form is here so that misspelt fields and wrong types are found in every section; what is not in force yet
//! is decoded for that reason only.
#![expect(
    dead_code,
    reason = "sections that are not in force are decoded to check their form"
)]

use crate::model::Locality;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::{Error, Unexpected};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MeshPolicy {
    api_version: String,
    kind: String,
    #[serde(default)]
    pub(super) metadata: ObjectMeta,
    pub(super) spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default)]
    pub(super) target_refs: Vec<TargetRef>,
    failure_mode: Option<FailureMode>,
    pub(super) load_balancing: Option<LoadBalancing>,
    timeouts: Option<Timeouts>,
    retry: Option<Retry>,
    circuit_breaker: Option<CircuitBreaker>,
    outlier_detection: Option<OutlierDetection>,
    rate_limit: Option<RateLimit>,
    fault: Option<Fault>,
    fallback: Option<Fallback>,
    connection: Option<Connection>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetRef {
    #[serde(default)]
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) section_name: Option<String>,
}

#[derive(Debug, Deserialize)]
enum FailureMode {
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoadBalancing {
    algorithm: Option<Algorithm>,
    hash_on: Option<HashOn>,
    pub(super) locality: Option<Locality>,
    slow_start: Option<Duration>,
}

#[derive(Debug, Deserialize)]
enum Algorithm {
    PeakEwma,
    LeastRequest,
    RoundRobin,
    Random,
    RingHash,
}

#[derive(Debug, Deserialize)]
struct HashOn {
    header: Option<String>,
    source: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timeouts {
    request: Option<Duration>,
    backend_request: Option<Duration>,
    stream_idle: Option<Duration>,
}

#[derive(Debug, Deserialize)]
struct Retry {
    attempts: Option<u32>,
    codes: Option<Vec<String>>,
    backoff: Option<Backoff>,
    budget: Option<Budget>,
}

#[derive(Debug, Deserialize)]
struct Backoff {
    base: Option<Duration>,
    max: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Budget {
    percent: Option<Percent>,
    interval: Option<Duration>,
    min_retry_rate: Option<MinRetryRate>,
}

#[derive(Debug, Deserialize)]
struct MinRetryRate {
    count: Option<u32>,
    interval: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CircuitBreaker {
    max_connections: Option<u32>,
    max_requests: Option<u32>,
    max_pending: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutlierDetection {
    consecutive_failures: Option<u32>,
    failure_percentage: Option<FailurePercentage>,
    codes: Option<Vec<String>>,
    interval: Option<Duration>,
    base_ejection_time: Option<Duration>,
    max_ejection_time: Option<Duration>,
    max_ejection_percent: Option<Percent>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FailurePercentage {
    threshold: Option<Percent>,
    request_volume: Option<u32>,
    minimum_hosts: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RateLimit {
    requests_per_second: u32,
    burst: Option<u32>,
    per: Option<RatePer>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RatePer {
    Source(RateSource),
    Header { header: String },
}

#[derive(Debug, Deserialize)]
enum RateSource {
    Source,
}

#[derive(Debug, Deserialize)]
struct Fault {
    delay: Option<Delay>,
    abort: Option<Abort>,
}

#[derive(Debug, Deserialize)]
struct Delay {
    percent: Percent,
    duration: Duration,
}

#[derive(Debug, Deserialize)]
struct Abort {
    percent: Percent,
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fallback {
    on: Option<Vec<FallbackReason>>,
    backend_ref: Option<BackendRef>,
    status: Option<String>,
    message: Option<String>,
    response: Option<String>,
}

#[derive(Debug, Deserialize)]
enum FallbackReason {
    NoEndpoint,
    ConnectFailure,
    CircuitOpen,
    RetriesExhausted,
}

#[derive(Debug, Deserialize)]
struct BackendRef {
    name: String,
    namespace: Option<String>,
    port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    max_age: Option<Duration>,
}

/// A share in percent.
#[derive(Debug)]
struct Percent(f64);

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        if (0.0..=100.0).contains(&percent) {
            return Ok(Self(percent));
        }
        let expected = "a percentage from 0 to 100";
        Err(D::Error::invalid_value(
            Unexpected::Float(percent),
            &expected,
        ))
    }
}

/// A duration in the form of Gateway API (GEP-2257): one to four groups of up to five digits and `h`, `m`, `s` or `ms`.
#[derive(Debug)]
struct Duration(String);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_duration(&text) {
            return Ok(Self(text));
        }
        let expected = "a duration like 2s, 500ms or 1h30m";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    let mut groups = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit_and_rest = &rest[digits..];
        let after = ["ms", "h", "m", "s"]
            .iter()
            .find_map(|unit| unit_and_rest.strip_prefix(unit));
        let (1..=5, Some(after)) = (digits, after) else {
            return false;
        };
        rest = after;
        groups += 1;
    }
    (1..=4).contains(&groups)
}

#[cfg(test)]
mod tests {
    use super::is_duration;

    #[test]
    fn durations_have_the_form_of_gateway_api() {
        for (text, is_valid) in [
            ("2s", true),
            ("500ms", true),
            ("1h30m", true),
            ("0s", true),
            ("", false),
            ("5", false),
            ("1.5s", false),
            ("-1s", false),
            ("100000s", false),
            ("1h1m1s1ms1h", false),
            ("1 s", false),
        ] {
            assert_eq!(is_duration(text), is_valid, "{text:?}");
        }
    }
}
