//! The spans of one RPC, after OpenTelemetry's conventions for RPC (stable since 1.45).

use super::routed;
use crate::observe::{ObservedRpc, REASONS};
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::reason;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::sync::Arc;
use std::time::SystemTime;

/// Whose work a span is: its `service.name` and `service.namespace`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Workload {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

/// Random ids for one RPC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    /// The trace, if the caller has none.
    pub(super) trace: TraceId,
    pub(super) client: SpanId,
    pub(super) server: SpanId,
}

/// Which end of an RPC a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// Where a span stands in a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    /// The span above it, or none.
    pub(super) parent: SpanId,
}

/// What every span has.
pub(super) struct Basics {
    pub(super) place: Place,
    pub(super) kind: SpanKind,
    pub(super) is_parent_remote: bool,
    pub(super) started: SystemTime,
    pub(super) ended: SystemTime,
}

/// The spans of an RPC. On the direct path a span for each end on this node; that of the server is a child of that of the client.
pub(super) fn spans(rpc: &ObservedRpc, ids: &Ids) -> Vec<(Workload, SpanData)> {
    if let Some(call) = &rpc.routed {
        return routed::spans(rpc, call, ids);
    }
    let mut spans = vec![];
    let mut above = caller(rpc);
    let trace = trace(rpc, ids);
    for (is_here, end, id) in [
        (rpc.side.is_client(), End::Client, ids.client),
        (rpc.side.is_server(), End::Server, ids.server),
    ] {
        if is_here {
            let place = Place {
                trace,
                id,
                parent: above,
            };
            spans.push((workload(rpc, end), span(rpc, end, place)));
            above = id;
        }
    }
    spans
}

/// The caller's own span, or none.
pub(super) fn caller(rpc: &ObservedRpc) -> SpanId {
    rpc.parent
        .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span_id))
}

/// The trace, a new one if the caller has none.
pub(super) fn trace(rpc: &ObservedRpc, ids: &Ids) -> TraceId {
    rpc.parent
        .map_or(ids.trace, |parent| TraceId::from_bytes(parent.trace_id))
}

/// Of the server the workload, or where that is not known, the Service that it serves.
pub(super) fn workload(rpc: &ObservedRpc, end: End) -> Workload {
    let (namespace, name) = match end {
        End::Client => (&rpc.source.namespace, &rpc.source.workload),
        End::Server if rpc.destination.workload.is_empty() => {
            (&rpc.destination.namespace, &rpc.destination.service)
        }
        End::Server => (&rpc.destination.namespace, &rpc.destination.workload),
    };
    Workload {
        namespace: Arc::clone(namespace),
        name: Arc::clone(name),
    }
}

/// The span of one end of an RPC.
pub(super) fn span(rpc: &ObservedRpc, end: End, place: Place) -> SpanData {
    let basics = Basics {
        place,
        kind: match end {
            End::Client => SpanKind::Client,
            End::Server => SpanKind::Server,
        },
        is_parent_remote: rpc
            .parent
            .is_some_and(|caller| place.parent.to_bytes() == caller.span_id),
        started: rpc.started,
        ended: rpc.started + rpc.duration,
    };
    let is_error = is_error(rpc.status, end);
    bare(basics, rpc.method.label(), is_error, attributes(rpc, end))
}

/// A span as OpenTelemetry has it.
pub(super) fn bare(
    basics: Basics,
    name: &str,
    is_error: bool,
    attributes: Vec<KeyValue>,
) -> SpanData {
    let Place { trace, id, parent } = basics.place;
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: parent,
        parent_span_is_remote: basics.is_parent_remote,
        span_kind: basics.kind,
        name: name.to_owned().into(),
        start_time: basics.started,
        end_time: basics.ended,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if is_error {
            Status::error("")
        } else {
            Status::Unset
        },
        instrumentation_scope: InstrumentationScope::builder("mesh-agent")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn attributes(rpc: &ObservedRpc, end: End) -> Vec<KeyValue> {
    let status = rpc.status.label();
    let mut attributes = vec![
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", rpc.method.label().to_owned()),
        KeyValue::new("rpc.status_code", status),
        text("mesh.source.workload", &rpc.source.workload),
        text("mesh.source.namespace", &rpc.source.namespace),
        text("mesh.destination.service", &rpc.destination.service),
        text("mesh.destination.namespace", &rpc.destination.namespace),
        text("mesh.destination.workload", &rpc.destination.workload),
        KeyValue::new("mesh.path", rpc.path().as_str()),
        KeyValue::new("mesh.rpc.request_bytes", number(rpc.request_bytes)),
        KeyValue::new("mesh.rpc.response_bytes", number(rpc.response_bytes)),
        KeyValue::new("mesh.rpc.chosen_for", Value::Array(chosen_for(rpc.reasons))),
    ];
    if let Some(name) = rpc.method.name.as_ref().filter(|_| !rpc.method.is_label) {
        attributes.push(text("rpc.method_original", name));
    }
    if let Some(time) = rpc.first_response {
        let seconds = time.as_secs_f64();
        attributes.push(KeyValue::new(
            "mesh.rpc.time_to_first_response_seconds",
            seconds,
        ));
    }
    if is_error(rpc.status, end) {
        attributes.push(KeyValue::new("error.type", status));
    }
    attributes
}

pub(super) fn text(key: &'static str, value: &Arc<str>) -> KeyValue {
    KeyValue::new(key, Arc::clone(value))
}

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn chosen_for(reasons: u32) -> Array {
    let words = REASONS
        .iter()
        .filter(|(bit, _)| reasons & bit & !reason::TAP != 0);
    Array::String(words.map(|(_, word)| StringValue::from(*word)).collect())
}

/// Whether an end takes a status for an error. A status that was not seen is none.
pub(super) fn is_error(status: StatusCode, end: End) -> bool {
    match end {
        End::Client => !matches!(status, StatusCode::Ok | StatusCode::Unseen),
        End::Server => matches!(
            status,
            StatusCode::Unknown
                | StatusCode::DeadlineExceeded
                | StatusCode::Unimplemented
                | StatusCode::Internal
                | StatusCode::Unavailable
                | StatusCode::DataLoss
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Ids, is_error, spans};
    use crate::observe::{
        DestinationLabels, ObservedMethod, ObservedRpc, SourceLabels, TraceParent,
    };
    use mesh_common::meter::StatusCode;
    use mesh_common::meter::record::{Side, reason};
    use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
    use opentelemetry_sdk::trace::SpanData;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    const IDS: Ids = Ids {
        trace: TraceId::from_bytes([9; 16]),
        client: SpanId::from_bytes([1; 8]),
        server: SpanId::from_bytes([2; 8]),
    };

    fn rpc(side: Side, parent: Option<TraceParent>) -> ObservedRpc {
        ObservedRpc {
            source: SourceLabels {
                workload: Arc::from("order"),
                namespace: Arc::from("shop"),
            },
            destination: DestinationLabels {
                service: Arc::from("inventory"),
                namespace: Arc::from("shop"),
                workload: Arc::from(""),
            },
            method: ObservedMethod {
                name: Some(Arc::from("shop.Inventory/Reserve")),
                is_label: true,
            },
            status: StatusCode::NotFound,
            side,
            started: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
            duration: Duration::from_millis(20),
            first_response: Some(Duration::from_millis(19)),
            request_bytes: 1,
            response_bytes: 2,
            parent,
            reasons: reason::FAILED | reason::TAP,
            routed: None,
        }
    }

    fn attribute(span: &SpanData, key: &str) -> Option<String> {
        let found = span
            .attributes
            .iter()
            .find(|pair| pair.key.as_str() == key)?;
        Some(found.value.to_string())
    }

    #[test]
    fn an_rpc_within_the_node_gives_two_spans_one_below_the_other() {
        let parent = TraceParent {
            trace_id: [7; 16],
            span_id: [3; 8],
            is_sampled: true,
        };
        let rpc = rpc(Side::Both, Some(parent));
        let [(source, client), (destination, server)] = spans(&rpc, &IDS).try_into().unwrap();

        assert_eq!((&*source.name, &*source.namespace), ("order", "shop"));
        assert_eq!(
            &*destination.name, "inventory",
            "the Service for want of a workload"
        );
        for span in [&client, &server] {
            assert_eq!(span.span_context.trace_id(), TraceId::from_bytes([7; 16]));
            assert_eq!(span.name, "shop.Inventory/Reserve");
            assert_eq!(
                span.end_time.duration_since(span.start_time).unwrap(),
                Duration::from_millis(20)
            );
            let expected = Some("NOT_FOUND".to_owned());
            assert_eq!(attribute(span, "rpc.status_code"), expected);
        }
        assert_eq!(client.span_kind, SpanKind::Client);
        assert_eq!(client.parent_span_id, SpanId::from_bytes([3; 8]));
        assert!(client.parent_span_is_remote);
        assert_eq!(server.span_kind, SpanKind::Server);
        assert_eq!(server.parent_span_id, IDS.client);
        assert!(!server.parent_span_is_remote);
        // What the caller did wrong is no error of the server.
        assert_eq!(client.status, Status::error(""));
        assert_eq!(
            attribute(&client, "error.type"),
            Some("NOT_FOUND".to_owned())
        );
        assert_eq!(server.status, Status::Unset);
        assert_eq!(attribute(&server, "error.type"), None);
    }

    #[test]
    fn an_rpc_of_one_end_gives_its_span_alone() {
        for (side, kind, id) in [
            (Side::Client, SpanKind::Client, IDS.client),
            (Side::Server, SpanKind::Server, IDS.server),
        ] {
            let rpc = rpc(side, None);
            let [(_, span)] = spans(&rpc, &IDS).try_into().unwrap();
            assert_eq!((span.span_kind, span.span_context.span_id()), (kind, id));
            assert_eq!(span.span_context.trace_id(), IDS.trace);
            assert_eq!(span.parent_span_id, SpanId::INVALID);
        }
    }

    #[test]
    fn a_method_without_a_label_keeps_its_name_aside() {
        let mut rpc = rpc(Side::Client, None);
        rpc.method.is_label = false;
        let [(_, span)] = spans(&rpc, &IDS).try_into().unwrap();
        assert_eq!(span.name, "_OTHER");
        assert_eq!(attribute(&span, "rpc.method"), Some("_OTHER".to_owned()));
        let original = attribute(&span, "rpc.method_original");
        assert_eq!(original, Some("shop.Inventory/Reserve".to_owned()));
    }

    #[test]
    fn ok_and_what_was_not_seen_are_no_errors() {
        for (status, _) in StatusCode::ALL {
            let is_known_failure = !matches!(status, StatusCode::Ok | StatusCode::Unseen);
            assert_eq!(
                is_error(status, End::Client),
                is_known_failure,
                "{status:?}"
            );
            assert!(is_error(status, End::Client) || !is_error(status, End::Server));
        }
        assert!(is_error(StatusCode::Internal, End::Server));
        assert!(!is_error(StatusCode::Cancelled, End::Server));
    }
}
