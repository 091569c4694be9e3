//! `mesh.dev/v1alpha1` MeshPolicy as manifests write it.

use super::duration::Duration;
use crate::model::Locality;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesh_common::meter::StatusCode;
use serde::Deserialize;
use serde::de::{Error, Unexpected};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "decoded to check the form: read with the header")]
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
    pub(super) failure_mode: Option<FailureMode>,
    pub(super) load_balancing: Option<LoadBalancing>,
    pub(super) timeouts: Option<Timeouts>,
    pub(super) retry: Option<Retry>,
    pub(super) circuit_breaker: Option<CircuitBreaker>,
    pub(super) outlier_detection: Option<OutlierDetection>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) fault: Option<Fault>,
    pub(super) fallback: Option<Fallback>,
    pub(super) connection: Option<Connection>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum FailureMode {
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoadBalancing {
    pub(super) algorithm: Option<Algorithm>,
    pub(super) hash_on: Option<HashOn>,
    pub(super) locality: Option<Locality>,
    pub(super) slow_start: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    PeakEwma,
    LeastRequest,
    RoundRobin,
    Random,
    RingHash,
}

#[derive(Debug, Deserialize)]
pub(super) struct HashOn {
    pub(super) header: Option<String>,
    pub(super) source: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeouts {
    pub(super) request: Option<Duration>,
    pub(super) backend_request: Option<Duration>,
    pub(super) stream_idle: Option<Duration>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Retry {
    pub(super) attempts: Option<u32>,
    pub(super) codes: Option<Vec<Code>>,
    pub(super) backoff: Option<Backoff>,
    pub(super) budget: Option<Budget>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Backoff {
    pub(super) base: Option<Duration>,
    pub(super) max: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Budget {
    pub(super) percent: Option<Percent>,
    pub(super) interval: Option<Duration>,
    pub(super) min_retry_rate: Option<MinRetryRate>,
}

#[derive(Debug, Deserialize)]
pub(super) struct MinRetryRate {
    pub(super) count: Option<u32>,
    pub(super) interval: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CircuitBreaker {
    pub(super) max_connections: Option<u32>,
    pub(super) max_requests: Option<u32>,
    pub(super) max_pending: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutlierDetection {
    pub(super) consecutive_failures: Option<u32>,
    pub(super) failure_percentage: Option<FailurePercentage>,
    pub(super) codes: Option<Vec<Code>>,
    pub(super) interval: Option<Duration>,
    pub(super) base_ejection_time: Option<Duration>,
    pub(super) max_ejection_time: Option<Duration>,
    pub(super) max_ejection_percent: Option<Percent>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailurePercentage {
    pub(super) threshold: Option<Percent>,
    pub(super) request_volume: Option<u32>,
    pub(super) minimum_hosts: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RateLimit {
    pub(super) requests_per_second: u32,
    pub(super) burst: Option<u32>,
    pub(super) per: Option<RatePer>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RatePer {
    Source(RateSource),
    Header { header: String },
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum RateSource {
    Source,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    pub(super) delay: Option<Delay>,
    pub(super) abort: Option<Abort>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delay {
    pub(super) percent: Percent,
    pub(super) duration: Duration,
}

#[derive(Debug, Deserialize)]
pub(super) struct Abort {
    pub(super) percent: Percent,
    pub(super) status: Code,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fallback {
    pub(super) on: Option<Vec<FallbackReason>>,
    pub(super) backend_ref: Option<BackendRef>,
    pub(super) status: Option<Code>,
    pub(super) message: Option<String>,
    /// One message, base64.
    pub(super) response: Option<ByteString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum FallbackReason {
    NoEndpoint,
    ConnectFailure,
    CircuitOpen,
    RetriesExhausted,
}

#[derive(Debug, Deserialize)]
pub(super) struct BackendRef {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection {
    pub(super) max_age: Option<Duration>,
}

/// A share in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percent(pub(super) f64);

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

/// The name of a gRPC status other than OK: failures are what policies are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code(pub(super) u8);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = StatusCode::ALL
            .iter()
            .take(usize::from(Self::COUNT))
            .skip(1);
        (1..)
            .zip(known)
            .find(|(_, (_, name))| *name == text)
            .map(|(number, _)| Self(number))
            .ok_or_else(|| {
                let expected = "the name of a gRPC status other than OK, like UNAVAILABLE";
                D::Error::invalid_value(Unexpected::Str(&text), &expected)
            })
    }
}

impl Code {
    /// Statuses of gRPC.
    const COUNT: u8 = 17;
}
