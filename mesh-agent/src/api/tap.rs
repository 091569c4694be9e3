//! Single RPCs as they end: what one asks for, and a line for each.

use super::qualified;
use super::quantity::parse_duration;
use crate::observe::{ObservedRpc, REASONS};
use mesh_common::meter::StatusCode;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Readers of `/api/tap` at once.
pub const TAPS_MAX: usize = 8;

/// Which RPCs somebody wants to see; everything that is said must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapQuery {
    /// The Service, `namespace/name` or just its name.
    pub service: Option<String>,
    /// `package.Service/Method`, or the part before or behind the slash.
    pub method: Option<String>,
    /// How it ended.
    pub status: Option<StatusFilter>,
    /// How long it took at least.
    pub min_latency: Option<Duration>,
    /// How many of them, then the answer ends.
    pub limit: Option<u64>,
}

/// How an RPC shall have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// With this status.
    Is(StatusCode),
    /// With any status but `OK`.
    Failed,
}

impl StatusFilter {
    const FAILED: &'static str = "FAILED";

    /// Reads the name of a status, or `FAILED`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        if upper == Self::FAILED {
            return Ok(Self::Failed);
        }
        StatusCode::ALL
            .iter()
            .find(|(_, label)| *label == upper)
            .map(|(code, _)| Self::Is(*code))
            .ok_or_else(|| {
                format!("status {text:?} is none; there are OK, NOT_FOUND and so on, and FAILED for all but OK")
            })
    }

    fn label(self) -> &'static str {
        match self {
            Self::Is(code) => code.label(),
            Self::Failed => Self::FAILED,
        }
    }

    fn matches(self, status: StatusCode) -> bool {
        match self {
            Self::Is(code) => status == code,
            Self::Failed => status != StatusCode::Ok,
        }
    }
}

impl TapQuery {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// If it has a key that is unknown, or a value that makes no sense.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "service" => parsed.service = Some(value.into_owned()),
                "method" => parsed.method = Some(value.trim_start_matches('/').to_owned()),
                "status" => parsed.status = Some(StatusFilter::parse(&value)?),
                "min_latency" => parsed.min_latency = Some(parse_duration(&value)?),
                "limit" => {
                    let limit = value
                        .parse()
                        .map_err(|_| format!("limit {value:?} is no number"))?;
                    parsed.limit = Some(limit);
                }
                unknown => {
                    return Err(format!(
                        "no filter {unknown:?}; there are service, method, status, min_latency and limit"
                    ));
                }
            }
        }
        Ok(parsed)
    }

    /// Writes it as [`TapQuery::parse`] reads it.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        if let Some(method) = &self.method {
            query.append_pair("method", method);
        }
        if let Some(status) = self.status {
            query.append_pair("status", status.label());
        }
        if let Some(latency) = self.min_latency {
            query.append_pair("min_latency", &format!("{}ns", latency.as_nanos()));
        }
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.to_string());
        }
        query.finish()
    }

    /// Whether an RPC is wanted.
    #[must_use]
    pub fn matches(&self, rpc: &ObservedRpc) -> bool {
        self.min_latency
            .is_none_or(|latency| rpc.duration >= latency)
            && self.status.is_none_or(|status| status.matches(rpc.status))
            && self
                .service
                .as_deref()
                .is_none_or(|service| is_service(service, rpc))
            && self
                .method
                .as_deref()
                .is_none_or(|method| is_method(method, rpc.method.shown()))
    }
}

fn is_service(wanted: &str, rpc: &ObservedRpc) -> bool {
    let labels = &rpc.destination;
    match wanted.split_once('/') {
        Some((namespace, name)) => *labels.namespace == *namespace && *labels.service == *name,
        None => *labels.service == *wanted,
    }
}

fn is_method(wanted: &str, method: &str) -> bool {
    let parts = method.rsplit_once('/');
    method == wanted || parts.is_some_and(|(service, name)| service == wanted || name == wanted)
}

/// One line of `/api/tap`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TappedRpc {
    /// When the request's headers were seen, in seconds since 1970.
    pub started_seconds: f64,
    /// Source workload: `namespace/name`, or the host's unit or process.
    pub source: String,
    /// `namespace/name` of the Service.
    pub service: String,
    /// `namespace/name` of the workload that answered; empty if unknown.
    pub workload: String,
    /// `package.Service/Method`; `_OTHER`: not known.
    pub method: String,
    /// `direct` or `routed`.
    pub path: String,
    /// The gRPC status.
    pub status: String,
    /// From the request's headers to the end of the response.
    pub latency_seconds: f64,
    /// From the request's headers to the response's.
    pub first_response_seconds: Option<f64>,
    /// Payload bytes of the request.
    pub request_bytes: u64,
    /// Payload bytes of the response.
    pub response_bytes: u64,
    /// How often the proxy tried it; none: it took the direct path.
    pub attempts: Option<usize>,
    /// Why the mesh answered itself, as `mesh-error` has it.
    pub local_reply: Option<String>,
    /// The trace's id, if its caller sent one or its spans are recorded.
    pub trace_id: Option<String>,
    /// Why the RPC would have been chosen, had nobody tapped, and `tap`.
    pub chosen_for: Vec<String>,
    /// Lines that this reader has lost so far, because it reads slower than they come.
    pub lost: u64,
}

impl TappedRpc {
    /// The line of an RPC for a reader that has lost some.
    #[must_use]
    pub fn new(rpc: &ObservedRpc, lost: u64) -> Self {
        let since_1970 = rpc.started.duration_since(SystemTime::UNIX_EPOCH);
        let destination = &rpc.destination;
        let routed = rpc.routed.as_deref();
        Self {
            started_seconds: since_1970.unwrap_or_default().as_secs_f64(),
            source: qualified(&rpc.source.namespace, &rpc.source.workload),
            service: qualified(&destination.namespace, &destination.service),
            workload: qualified(&destination.namespace, &destination.workload),
            method: rpc.method.shown().to_owned(),
            path: rpc.path().as_str().to_owned(),
            status: rpc.status.label().to_owned(),
            latency_seconds: rpc.duration.as_secs_f64(),
            first_response_seconds: rpc.first_response.map(|time| time.as_secs_f64()),
            request_bytes: rpc.request_bytes,
            response_bytes: rpc.response_bytes,
            attempts: routed.map(|call| call.attempts.len()),
            local_reply: routed
                .and_then(|call| call.local_reply)
                .map(|reason| reason.as_str().to_owned()),
            trace_id: rpc.trace_id().map(|id| hexadecimal(&id)),
            chosen_for: REASONS
                .iter()
                .filter(|(bit, _)| rpc.reasons & bit != 0)
                .map(|(_, word)| (*word).to_owned())
                .collect(),
            lost,
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{StatusFilter, TapQuery, TappedRpc};
    use crate::observe::{
        CallSpan, DestinationLabels, LocalReply, ObservedCall, ObservedMethod, ObservedRpc,
        SourceLabels, TraceParent,
    };
    use mesh_common::meter::StatusCode;
    use mesh_common::meter::record::{Side, reason};
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    fn rpc() -> ObservedRpc {
        ObservedRpc {
            source: SourceLabels {
                workload: Arc::from("order"),
                namespace: Arc::from("shop"),
            },
            destination: DestinationLabels {
                service: Arc::from("inventory"),
                namespace: Arc::from("shop"),
                workload: Arc::from("inventory-v2"),
            },
            method: ObservedMethod {
                name: Some(Arc::from("shop.Inventory/Reserve")),
                is_label: true,
            },
            status: StatusCode::NotFound,
            side: Side::Both,
            started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            duration: Duration::from_millis(20),
            first_response: None,
            request_bytes: 1,
            response_bytes: 2,
            parent: Some(TraceParent {
                trace_id: [0xab; 16],
                span_id: [1; 8],
                is_sampled: true,
            }),
            reasons: reason::TAP | reason::FAILED,
            routed: None,
        }
    }

    #[test]
    fn every_filter_must_match() {
        for (query, is_wanted) in [
            ("", true),
            ("service=inventory", true),
            ("service=shop%2Finventory", true),
            ("service=shop/order", false),
            ("service=other/inventory", false),
            ("method=shop.Inventory/Reserve", true),
            ("method=/shop.Inventory/Reserve", true),
            ("method=Reserve", true),
            ("method=shop.Inventory", true),
            ("method=Inventory", false),
            ("status=NOT_FOUND", true),
            ("status=failed", true),
            ("status=OK", false),
            ("min_latency=20ms", true),
            ("min_latency=20.001ms", false),
            ("service=inventory&status=OK", false),
        ] {
            let parsed = TapQuery::parse(query).unwrap();
            assert_eq!(parsed.matches(&rpc()), is_wanted, "{query}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_text() {
        for (query, word) in [
            ("status=SAD", "SAD"),
            ("min_latency=long", "long"),
            ("limit=-1", "-1"),
            ("services=a", "services"),
        ] {
            let error = TapQuery::parse(query).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_query_reads_back_as_it_was_written() {
        let query = TapQuery {
            service: Some("shop/inventory & more".to_owned()),
            method: Some("shop.Inventory/Reserve".to_owned()),
            status: Some(StatusFilter::Failed),
            min_latency: Some(Duration::from_micros(1_500)),
            limit: Some(3),
        };
        assert_eq!(TapQuery::parse(&query.to_query()), Ok(query));
    }

    #[test]
    fn a_line_says_who_called_whom_and_why_it_is_shown() {
        let line = TappedRpc::new(&rpc(), 7);
        assert_eq!(line.source, "shop/order");
        assert_eq!(line.service, "shop/inventory");
        assert_eq!(line.status, "NOT_FOUND");
        assert_eq!(line.trace_id, Some("ab".repeat(16)));
        assert_eq!(line.chosen_for, ["failed", "tap"]);
        assert_eq!((line.path.as_str(), line.attempts), ("direct", None));
        assert_eq!((line.started_seconds, line.lost), (1.5, 7));
    }

    #[test]
    fn a_line_of_a_routed_call_says_what_the_mesh_did() {
        let mut rpc = rpc();
        rpc.parent = None;
        rpc.routed = Some(Box::new(ObservedCall {
            span: Some(CallSpan::new([0xcd; 16], 1, reason::SAMPLED)),
            attempts: vec![],
            local_reply: Some(LocalReply::NoEndpoint),
        }));
        let line = TappedRpc::new(&rpc, 0);
        assert_eq!((line.path.as_str(), line.attempts), ("routed", Some(0)));
        assert_eq!(line.local_reply.as_deref(), Some("no_endpoint"));
        assert_eq!(line.trace_id, Some("cd".repeat(16)));
    }
}
