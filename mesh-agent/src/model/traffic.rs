//! How requests to a service are treated: what a MeshPolicy and a route can say, with every default filled in.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What holds for a Service that receives requests (`loadBalancing`, `circuitBreaker`, `outlierDetection`,
/// `retry.budget`, `connection`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendTraffic {
    /// How an endpoint is chosen.
    pub load_balancing: LoadBalancing,
    /// How much may be under way at once; `None`: no bound but the proxy's own.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// When an endpoint gets no requests for a while; `None`: never.
    pub outlier_detection: Option<OutlierDetection>,
    /// How many retries there may be for each original request.
    pub retry_budget: RetryBudget,
    /// After how long a connection to the service gets a GOAWAY; `None`: never.
    pub connection_age_max: Option<Duration>,
}

/// What holds for requests that meet a route's rule, or the Service itself if no route is attached (`timeouts`, `retry`,
/// `rateLimit`, `fault`, `fallback`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallTraffic {
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Which failures are tried again; `None`: those never sent upstream only.
    pub retry: Option<Retry>,
    /// How many requests a caller may make; `None`: any number.
    pub rate_limit: Option<RateLimit>,
    /// Failures made on purpose.
    pub fault: Fault,
    /// What answers when the service cannot.
    pub fallback: Option<Fallback>,
}

/// `loadBalancing` without `locality`, which the plan applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancing {
    /// How an endpoint is chosen.
    pub algorithm: Algorithm,
    /// Time over which a new endpoint's share grows to a full one (`slowStart`).
    pub slow_start: Option<Duration>,
}

/// `loadBalancing.algorithm`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// The better of two at random, by peak-EWMA latency times requests under way.
    #[default]
    PeakEwma,
    /// The better of two at random, by requests under way.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// At random.
    Random,
    /// The same endpoint for the same key while it is there.
    RingHash(HashKey),
}

/// What `RingHash` hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The values of this header, in lower case (`hashOn.header`); without it: at random.
    Header(Arc<str>),
    /// The caller's address (`hashOn.source`).
    Source,
}

/// `circuitBreaker`: bounds per agent and destination Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Connections upstream.
    pub connections_max: u32,
    /// Requests under way.
    pub requests_max: u32,
    /// Requests that wait for a connection or a stream's place.
    pub pending_max: u32,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            requests_max: 1024,
            pending_max: 1024,
        }
    }
}

/// `outlierDetection`, in the terms of gRFC A50.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetection {
    /// Failures in a row that eject.
    pub consecutive_failures: Option<NonZeroU32>,
    /// Share of failures in an interval that ejects.
    pub failure_percentage: Option<FailurePercentage>,
    /// The gRPC statuses that are failures.
    pub codes: CodeSet,
    /// How often shares are looked at.
    pub interval: Duration,
    /// First ejection; the n-th lasts n times as long.
    pub base_ejection_time: Duration,
    /// No ejection lasts longer.
    pub ejection_time_max: Duration,
    /// Share of endpoints that may be ejected at once; at least one may, the last never.
    pub ejection_percent_max: f64,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: NonZeroU32::new(5),
            failure_percentage: None,
            codes: CodeSet::OUTLIERS,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            ejection_time_max: Duration::from_secs(300),
            ejection_percent_max: 10.0,
        }
    }
}

/// `outlierDetection.failurePercentage`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailurePercentage {
    /// Share of failures, in percent, above which an endpoint is ejected.
    pub threshold: f64,
    /// Requests an endpoint must have had in the interval.
    pub request_volume: u32,
    /// Endpoints that must have had so many.
    pub hosts_min: u32,
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self {
            threshold: 60.0,
            request_volume: 50,
            hosts_min: 3,
        }
    }
}

/// `retry.budget` (GEP-3388): retries per original request of a destination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Retries for each hundred original requests of the interval.
    pub percent: f64,
    /// Over which requests are counted.
    pub interval: Duration,
    /// So many retries are allowed at any rate …
    pub retries_min: u32,
    /// … in each such time.
    pub retries_min_interval: Duration,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            percent: 20.0,
            interval: Duration::from_secs(10),
            retries_min: 10,
            retries_min_interval: Duration::from_secs(1),
        }
    }
}

/// `timeouts` of Gateway API; `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request's head to the response's end, all tries together; not for streams.
    pub request: Option<Duration>,
    /// One try.
    pub backend_request: Option<Duration>,
    /// A stream on which nothing moves.
    pub stream_idle: Option<Duration>,
}

/// `retry` without its budget, which belongs to the Service that receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first; at most 4.
    pub attempts: u32,
    /// The gRPC statuses that are tried again.
    pub codes: CodeSet,
    /// HTTP statuses that are tried again (`HTTPRoute.retry.codes`). A gRPC call has one of them only if what answers it is
    /// not gRPC: its own failures come with 200.
    pub http_codes: Arc<[u16]>,
    /// Whether a call is tried again whose connection was lost or whose stream was reset before an answer, whatever the
    /// codes say (`HTTPRoute.retry`, GEP-1731).
    pub retries_cuts: bool,
    /// Delay before the first retry; it doubles.
    pub backoff_base: Duration,
    /// No delay is longer.
    pub backoff_max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 2,
            codes: CodeSet::of(&[14, 8]),
            http_codes: Arc::from([]),
            retries_cuts: false,
            backoff_base: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
        }
    }
}

/// `rateLimit`: a token bucket per agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Tokens per second.
    pub requests_per_second: NonZeroU32,
    /// Tokens it holds; as many as a second's without it.
    pub burst: NonZeroU32,
    /// Who shares a bucket.
    pub per: RateLimitKey,
}

/// `rateLimit.per`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RateLimitKey {
    /// Everybody.
    #[default]
    Total,
    /// The callers of one workload.
    Source,
    /// Requests with the same value of this header, in lower case.
    Header(Arc<str>),
}

/// `fault`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fault {
    /// Share in percent and length of delays.
    pub delay: Option<(f64, Duration)>,
    /// Share in percent and gRPC status of answers that the mesh makes instead.
    pub abort: Option<(f64, u8)>,
}

/// `fallback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// When it answers.
    pub on: FallbackReasons,
    /// What answers.
    pub answer: FallbackAnswer,
}

/// `fallback.on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FallbackReasons {
    /// No endpoint is ready.
    pub no_endpoint: bool,
    /// No endpoint accepted a connection.
    pub connect_failure: bool,
    /// A bound of the circuit breaker is reached.
    pub circuit_open: bool,
    /// The last retry failed.
    pub retries_exhausted: bool,
}

impl Default for FallbackReasons {
    fn default() -> Self {
        Self {
            no_endpoint: true,
            connect_failure: true,
            circuit_open: true,
            retries_exhausted: false,
        }
    }
}

/// What answers in place of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FallbackAnswer {
    /// Another Service: namespace, name, port.
    Backend(super::ObjectName, u16),
    /// A gRPC status and its message.
    Status(u8, Arc<str>),
    /// One gRPC message, without its length prefix, and status OK.
    Message(Arc<[u8]>),
}

/// A set of gRPC statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeSet(u32);

impl CodeSet {
    /// UNAVAILABLE, INTERNAL, UNKNOWN, DEADLINE_EXCEEDED, DATA_LOSS: what an outlier shows.
    pub const OUTLIERS: Self = Self::of(&[14, 13, 2, 4, 15]);

    /// The set of these; numbers above 16 are no gRPC statuses and are left out.
    #[must_use]
    pub const fn of(codes: &[u8]) -> Self {
        let mut set = 0;
        let mut index = 0;
        while index < codes.len() {
            if codes[index] <= 16 {
                set |= 1 << codes[index];
            }
            index += 1;
        }
        Self(set)
    }

    /// Whether `code` is in it.
    #[must_use]
    pub const fn contains(self, code: u8) -> bool {
        code < 32 && self.0 & (1 << code) != 0
    }
}
