//! Sections of a MeshPolicy: defaults filled in, combinations checked.

use super::metadata::Texts;
use super::path::FieldPath;
use super::policy_spec::{self as spec, Algorithm as Name, Code, FailureMode, FallbackReason};
use super::report::Report;
use crate::model::{
    Algorithm, BackendSections, CallSections, CircuitBreaker, CodeSet, FailurePercentage, Fallback,
    FallbackAnswer, FallbackReasons, Fault, HashKey, LoadBalancing, LoadBalancingSection,
    OutlierDetection, RateLimit, RateLimitKey, Retry, RetryBudget, Timeouts,
};
use http::header::HeaderName;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Retries at most.
const ATTEMPTS_MAX: u32 = 4;

/// Largest fixed answer, in bytes: it lies in memory as long as the policy.
const RESPONSE_SIZE_MAX: usize = 64 << 10;

/// The sections of a policy while they are read.
pub(super) struct Sections<'x, 'r, 'a> {
    /// The policy's namespace.
    pub(super) namespace: Arc<str>,
    /// The file's texts.
    pub(super) texts: &'x mut Texts,
    /// What is wrong with the policy.
    pub(super) report: &'x mut Report<'r, 'a>,
}

impl Sections<'_, '_, '_> {
    /// What holds for Services that receive requests.
    pub(super) fn backend(&mut self, spec: &spec::Spec) -> BackendSections {
        let connection = spec.connection.as_ref();
        let age_path = FieldPath::of("spec.connection.maxAge");
        BackendSections {
            is_closed_on_failure: spec.failure_mode.map(|mode| mode == FailureMode::Closed),
            load_balancing: spec
                .load_balancing
                .as_ref()
                .map(|section| self.load_balancing(section)),
            circuit_breaker: spec
                .circuit_breaker
                .as_ref()
                .map(|section| self.circuit_breaker(section)),
            outlier_detection: spec
                .outlier_detection
                .as_ref()
                .map(|section| self.outliers(section)),
            retry_budget: spec
                .retry
                .as_ref()
                .map(|section| self.budget(section.budget.as_ref())),
            connection_age_max: connection
                .and_then(|section| self.positive(section.max_age, &age_path)),
        }
    }

    /// What holds for Services and routes that are called.
    pub(super) fn call(&mut self, spec: &spec::Spec) -> CallSections {
        CallSections {
            timeouts: spec.timeouts.as_ref().map(timeouts),
            retry: spec.retry.as_ref().map(|section| self.retry(section)),
            rate_limit: spec
                .rate_limit
                .as_ref()
                .and_then(|section| self.rate_limit(section)),
            fault: spec.fault.as_ref().map(fault),
            fallback: spec
                .fallback
                .as_ref()
                .and_then(|section| self.fallback(section)),
        }
    }

    fn load_balancing(&mut self, section: &spec::LoadBalancing) -> LoadBalancingSection {
        let path = FieldPath::of("spec.loadBalancing");
        let hash_key = section
            .hash_on
            .as_ref()
            .and_then(|on| self.hash_key(on, &path.field("hashOn")));
        let algorithm = match (section.algorithm, hash_key) {
            (Some(Name::RingHash), Some(key)) => Algorithm::RingHash(key),
            (Some(Name::RingHash), None) => {
                let remedy = "add hashOn: {header: …} or hashOn: {source: true}";
                self.report
                    .error(&path, "RingHash needs to know what to hash", remedy);
                Algorithm::RingHash(HashKey::Source)
            }
            (other, key) => {
                if key.is_some() {
                    let remedy = "set algorithm: RingHash, or remove hashOn";
                    self.report
                        .error(&path.field("hashOn"), "only RingHash hashes", remedy);
                }
                match other {
                    Some(Name::LeastRequest) => Algorithm::LeastRequest,
                    Some(Name::RoundRobin) => Algorithm::RoundRobin,
                    Some(Name::Random) => Algorithm::Random,
                    Some(Name::PeakEwma | Name::RingHash) | None => Algorithm::PeakEwma,
                }
            }
        };
        let slow_start = section
            .slow_start
            .map(|time| time.0)
            .filter(|time| !time.is_zero());
        let needs_proxy =
            section.algorithm.is_some() || section.hash_on.is_some() || slow_start.is_some();
        LoadBalancingSection {
            locality: section.locality.unwrap_or_default(),
            balancing: needs_proxy.then_some(LoadBalancing {
                algorithm,
                slow_start,
            }),
        }
    }

    fn hash_key(&mut self, on: &spec::HashOn, at: &FieldPath) -> Option<HashKey> {
        match (&on.header, on.source) {
            (Some(header), None | Some(false)) => self
                .header(header, &at.field("header"))
                .map(HashKey::Header),
            (None, Some(true)) => Some(HashKey::Source),
            _ => {
                let remedy = "give either header: … or source: true";
                self.report.error(at, "not one thing to hash", remedy);
                None
            }
        }
    }

    fn circuit_breaker(&mut self, section: &spec::CircuitBreaker) -> CircuitBreaker {
        let defaults = CircuitBreaker::default();
        let path = FieldPath::of("spec.circuitBreaker");
        for (value, field) in [
            (section.max_connections, "maxConnections"),
            (section.max_requests, "maxRequests"),
        ] {
            if value == Some(0) {
                let remedy = "use at least 1, or leave it out";
                self.report
                    .error(&path.field(field), "no request could ever be sent", remedy);
            }
        }
        CircuitBreaker {
            connections_max: section.max_connections.unwrap_or(defaults.connections_max),
            requests_max: section.max_requests.unwrap_or(defaults.requests_max),
            pending_max: section.max_pending.unwrap_or(defaults.pending_max),
        }
    }

    fn outliers(&mut self, section: &spec::OutlierDetection) -> OutlierDetection {
        let defaults = OutlierDetection::default();
        let path = FieldPath::of("spec.outlierDetection");
        let consecutive = section.consecutive_failures;
        let mut or =
            |time, field: &str, default| self.positive(time, &path.field(field)).unwrap_or(default);
        let detection = OutlierDetection {
            // None at all is a way to say: not by this measure.
            consecutive_failures: consecutive
                .map_or(defaults.consecutive_failures, NonZeroU32::new),
            failure_percentage: section.failure_percentage.as_ref().map(failure_percentage),
            codes: section.codes.as_deref().map_or(defaults.codes, code_set),
            interval: or(section.interval, "interval", defaults.interval),
            base_ejection_time: or(
                section.base_ejection_time,
                "baseEjectionTime",
                defaults.base_ejection_time,
            ),
            ejection_time_max: or(
                section.max_ejection_time,
                "maxEjectionTime",
                defaults.ejection_time_max,
            ),
            ejection_percent_max: section
                .max_ejection_percent
                .map_or(defaults.ejection_percent_max, |p| p.0),
        };
        if detection.base_ejection_time > detection.ejection_time_max {
            let remedy = "make maxEjectionTime (default 300s) at least as long as baseEjectionTime (default 30s)";
            self.report.error(
                &path,
                "the first ejection is longer than the longest",
                remedy,
            );
        }
        detection
    }

    fn budget(&mut self, section: Option<&spec::Budget>) -> RetryBudget {
        let defaults = RetryBudget::default();
        let Some(section) = section else {
            return defaults;
        };
        let path = FieldPath::of("spec.retry.budget");
        let rate = section.min_retry_rate.as_ref();
        let rate_interval = rate.and_then(|rate| rate.interval);
        let rate_path = path.field("minRetryRate").field("interval");
        RetryBudget {
            percent: section
                .percent
                .map_or(defaults.percent, |percent| percent.0),
            interval: self
                .positive(section.interval, &path.field("interval"))
                .unwrap_or(defaults.interval),
            retries_min: rate
                .and_then(|rate| rate.count)
                .unwrap_or(defaults.retries_min),
            retries_min_interval: self
                .positive(rate_interval, &rate_path)
                .unwrap_or(defaults.retries_min_interval),
        }
    }

    fn retry(&mut self, section: &spec::Retry) -> Retry {
        let defaults = Retry::default();
        let path = FieldPath::of("spec.retry");
        let attempts = section.attempts.unwrap_or(defaults.attempts);
        if attempts > ATTEMPTS_MAX {
            let remedy = "use a number from 0 to 4";
            self.report
                .error(&path.field("attempts"), "too many retries", remedy);
        }
        let backoff = section.backoff.as_ref();
        let at = path.field("backoff");
        let base = backoff.and_then(|backoff| self.positive(backoff.base, &at.field("base")));
        let max = backoff.and_then(|backoff| self.positive(backoff.max, &at.field("max")));
        let backoff_base = base.unwrap_or(defaults.backoff_base);
        // A base alone, above the default of the other bound, means itself.
        let backoff_max = max.unwrap_or(defaults.backoff_max.max(backoff_base));
        if backoff_base > backoff_max {
            let remedy = "make max at least as long as base (default 25ms)";
            self.report
                .error(&at, "the first delay is longer than the longest", remedy);
        }
        Retry {
            attempts,
            codes: section.codes.as_deref().map_or(defaults.codes, code_set),
            http_codes: defaults.http_codes,
            retries_cuts: defaults.retries_cuts,
            backoff_base,
            backoff_max,
        }
    }

    fn rate_limit(&mut self, section: &spec::RateLimit) -> Option<RateLimit> {
        let path = FieldPath::of("spec.rateLimit");
        let mut at_least_one = |value: u32, field: &str| {
            let value = NonZeroU32::new(value);
            if value.is_none() {
                let at = path.field(field);
                self.report
                    .error(&at, "no request would ever pass", "use at least 1");
            }
            value
        };
        let rate = at_least_one(section.requests_per_second, "requestsPerSecond")?;
        let burst = match section.burst {
            Some(burst) => at_least_one(burst, "burst")?,
            None => rate,
        };
        let per = match &section.per {
            None => RateLimitKey::Total,
            Some(spec::RatePer::Source(spec::RateSource::Source)) => RateLimitKey::Source,
            Some(spec::RatePer::Header { header }) => {
                RateLimitKey::Header(self.header(header, &path.field("per").field("header"))?)
            }
        };
        Some(RateLimit {
            requests_per_second: rate,
            burst,
            per,
        })
    }

    fn fallback(&mut self, section: &spec::Fallback) -> Option<Fallback> {
        let path = FieldPath::of("spec.fallback");
        let message = section.message.as_deref().unwrap_or_default();
        let answer = match (&section.backend_ref, section.status, &section.response) {
            (Some(backend), None, None) if section.message.is_none() => {
                if backend.port == 0 {
                    let at = path.field("backendRef").field("port");
                    self.report
                        .error(&at, "no port number", "use a number from 1 to 65535");
                }
                let namespace = backend.namespace.as_deref().unwrap_or(&self.namespace);
                let name = self.texts.name(namespace, &backend.name);
                FallbackAnswer::Backend(name, backend.port)
            }
            (None, Some(Code(code)), None) => FallbackAnswer::Status(code, message.into()),
            (None, None, Some(response)) if section.message.is_none() => {
                if response.0.len() > RESPONSE_SIZE_MAX {
                    let remedy = "use at most 64 KiB, or a backendRef";
                    self.report
                        .error(&path.field("response"), "the answer is too large", remedy);
                }
                FallbackAnswer::Message(response.0.as_slice().into())
            }
            _ => {
                let remedy = "give either backendRef, or status (and message), or response";
                self.report.error(&path, "not one answer", remedy);
                return None;
            }
        };
        Some(Fallback {
            on: section
                .on
                .as_deref()
                .map_or_else(FallbackReasons::default, reasons),
            answer,
        })
    }

    /// A time above zero; `None` if none is given.
    fn positive(
        &mut self,
        time: Option<super::duration::Duration>,
        at: &FieldPath,
    ) -> Option<Duration> {
        let time = time?.0;
        if time.is_zero() {
            self.report
                .error(at, "must be longer than nothing", "use 1ms or more");
        }
        Some(time)
    }

    /// A header's name, in lower case.
    fn header(&mut self, name: &str, at: &FieldPath) -> Option<Arc<str>> {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Some(self.texts.share(name.as_str())),
            Err(_) => {
                let remedy = "use letters, digits and !#$%&'*+-.^_`|~; pseudo-headers are none";
                self.report.error(at, "no name of a header", remedy);
                None
            }
        }
    }
}

/// Zero means: no bound, as Gateway API has it.
fn timeouts(section: &spec::Timeouts) -> Timeouts {
    let bound = |time: Option<super::duration::Duration>| {
        time.map(|time| time.0).filter(|time| !time.is_zero())
    };
    Timeouts {
        request: bound(section.request),
        backend_request: bound(section.backend_request),
        stream_idle: bound(section.stream_idle),
    }
}

fn fault(section: &spec::Fault) -> Fault {
    let (delay, abort) = (section.delay.as_ref(), section.abort.as_ref());
    Fault {
        delay: delay.map(|delay| (delay.percent.0, delay.duration.0)),
        abort: abort.map(|abort| (abort.percent.0, abort.status.0)),
    }
}

fn failure_percentage(section: &spec::FailurePercentage) -> FailurePercentage {
    let defaults = FailurePercentage::default();
    FailurePercentage {
        threshold: section
            .threshold
            .map_or(defaults.threshold, |percent| percent.0),
        request_volume: section.request_volume.unwrap_or(defaults.request_volume),
        hosts_min: section.minimum_hosts.unwrap_or(defaults.hosts_min),
    }
}

fn code_set(codes: &[Code]) -> CodeSet {
    let numbers: Vec<u8> = codes.iter().map(|code| code.0).collect();
    CodeSet::of(&numbers)
}

fn reasons(reasons: &[FallbackReason]) -> FallbackReasons {
    FallbackReasons {
        no_endpoint: reasons.contains(&FallbackReason::NoEndpoint),
        connect_failure: reasons.contains(&FallbackReason::ConnectFailure),
        circuit_open: reasons.contains(&FallbackReason::CircuitOpen),
        retries_exhausted: reasons.contains(&FallbackReason::RetriesExhausted),
    }
}
