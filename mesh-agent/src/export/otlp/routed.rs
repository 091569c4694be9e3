//! The spans of a call through the proxy: its own, and one below it for each try (gRFC A72, `Sent` and `Attempt`).

use super::span::{
    Basics, End, Ids, Place, Workload, bare, caller, is_error, number, span, text, trace, workload,
};
use crate::observe::{CallSpan, ObservedAttempt, ObservedCall, ObservedRpc};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, SpanKind, TraceId};
use opentelemetry_sdk::trace::SpanData;

/// The spans, all of them the caller's work: the proxy acts for it. Where nobody was told of them, their ids are new.
pub(super) fn spans(
    rpc: &ObservedRpc,
    call: &ObservedCall,
    ids: &Ids,
) -> Vec<(Workload, SpanData)> {
    let own = call.span.unwrap_or_else(|| {
        let first = u64::from_be_bytes(ids.client.to_bytes());
        CallSpan::new(trace(rpc, ids).to_bytes(), first, 0)
    });
    let place = Place {
        trace: TraceId::from_bytes(own.trace_id),
        id: SpanId::from_bytes(own.id()),
        parent: caller(rpc),
    };
    let mut whole = span(rpc, End::Client, place);
    if let Some(reason) = call.local_reply {
        whole
            .attributes
            .push(KeyValue::new("mesh.local_reply", reason.as_str()));
    }
    let attempts = call.attempts.iter().enumerate().map(|(number, attempt)| {
        let place = Place {
            trace: place.trace,
            id: SpanId::from_bytes(own.attempt(number)),
            parent: place.id,
        };
        attempt_span(rpc, attempt, number, place)
    });
    let all = std::iter::once(whole).chain(attempts);
    all.map(|span| (workload(rpc, End::Client), span)).collect()
}

fn attempt_span(
    rpc: &ObservedRpc,
    attempt: &ObservedAttempt,
    previous: usize,
    place: Place,
) -> SpanData {
    let started = rpc.started + attempt.started;
    let basics = Basics {
        place,
        kind: SpanKind::Client,
        is_parent_remote: false,
        started,
        ended: started + attempt.duration,
    };
    let status = attempt.status.label();
    let is_error = is_error(attempt.status, End::Client);
    let destination = &attempt.destination;
    let mut attributes = vec![
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", rpc.method.label().to_owned()),
        KeyValue::new("rpc.status_code", status),
        KeyValue::new("network.peer.address", attempt.endpoint.ip().to_string()),
        KeyValue::new("network.peer.port", i64::from(attempt.endpoint.port())),
        KeyValue::new("previous-rpc-attempts", number(previous as u64)),
        text("mesh.destination.service", &destination.service),
        text("mesh.destination.namespace", &destination.namespace),
        text("mesh.destination.workload", &destination.workload),
    ];
    if is_error {
        attributes.push(KeyValue::new("error.type", status));
    }
    bare(basics, rpc.method.label(), is_error, attributes)
}

#[cfg(test)]
mod tests {
    use super::spans;
    use crate::export::otlp::span::Ids;
    use crate::observe::{
        CallSpan, DestinationLabels, LocalReply, ObservedAttempt, ObservedCall, ObservedMethod,
        ObservedRpc, SourceLabels, TraceParent,
    };
    use mesh_common::meter::StatusCode;
    use mesh_common::meter::record::{Side, reason};
    use opentelemetry::trace::{SpanId, Status, TraceId};
    use opentelemetry_sdk::trace::SpanData;
    use std::time::{Duration, SystemTime};

    const IDS: Ids = Ids {
        trace: TraceId::from_bytes([9; 16]),
        client: SpanId::from_bytes([1; 8]),
        server: SpanId::from_bytes([2; 8]),
    };

    fn destination() -> DestinationLabels {
        DestinationLabels {
            service: "inventory".into(),
            namespace: "shop".into(),
            workload: "inventory-v2".into(),
        }
    }

    fn attempt(started_ms: u64, status: StatusCode) -> ObservedAttempt {
        ObservedAttempt {
            destination: destination(),
            endpoint: ([10, 0, 0, 7], 50_051).into(),
            started: Duration::from_millis(started_ms),
            duration: Duration::from_millis(4),
            status,
        }
    }

    fn call(span: Option<CallSpan>, parent: Option<TraceParent>) -> Vec<SpanData> {
        let call = ObservedCall {
            span,
            attempts: vec![
                attempt(1, StatusCode::Unavailable),
                attempt(6, StatusCode::Ok),
            ],
            local_reply: Some(LocalReply::ConnectionLost),
        };
        let rpc = ObservedRpc {
            source: SourceLabels {
                workload: "order".into(),
                namespace: "shop".into(),
            },
            destination: destination(),
            method: ObservedMethod {
                name: Some("shop.Inventory/Reserve".into()),
                is_label: true,
            },
            status: StatusCode::Ok,
            side: Side::Client,
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::from_millis(11),
            first_response: None,
            request_bytes: 1,
            response_bytes: 2,
            parent,
            reasons: reason::SAMPLED,
            routed: Some(Box::new(call.clone())),
        };
        let all = spans(&rpc, &call, &IDS).into_iter();
        all.map(|(workload, span)| {
            assert_eq!((&*workload.namespace, &*workload.name), ("shop", "order"));
            span
        })
        .collect()
    }

    fn attribute(span: &SpanData, key: &str) -> Option<String> {
        let mut all = span.attributes.iter();
        let found = all.find(|pair| pair.key.as_str() == key)?;
        Some(found.value.to_string())
    }

    #[test]
    fn a_call_has_a_span_and_each_try_one_below_it() {
        let own = CallSpan::new([7; 16], 0x20, reason::SAMPLED);
        let [whole, first, second] = call(Some(own), None).try_into().unwrap();

        assert_eq!(whole.span_context.span_id().to_bytes(), own.id());
        assert_eq!(whole.parent_span_id, SpanId::INVALID);
        for (number, span) in [&first, &second].into_iter().enumerate() {
            assert_eq!(span.span_context.trace_id().to_bytes(), [7; 16]);
            assert_eq!(span.span_context.span_id().to_bytes(), own.attempt(number));
            assert_eq!(span.parent_span_id, whole.span_context.span_id());
            let previous = attribute(span, "previous-rpc-attempts");
            assert_eq!(previous, Some(number.to_string()));
        }
        assert_eq!(first.status, Status::error(""));
        assert_eq!(
            (&whole.status, &second.status),
            (&Status::Unset, &Status::Unset)
        );
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since(second.start_time), Duration::from_millis(6));
        assert_eq!(since(second.end_time), Duration::from_millis(10));
        assert_eq!(
            attribute(&second, "network.peer.address"),
            Some("10.0.0.7".to_owned())
        );
        assert_eq!(attribute(&whole, "mesh.path"), Some("routed".to_owned()));
        assert_eq!(
            attribute(&whole, "mesh.local_reply"),
            Some("connection_lost".to_owned())
        );
    }

    #[test]
    fn spans_of_which_nobody_knew_belong_to_the_caller_s_trace_all_the_same() {
        let parent = TraceParent {
            trace_id: [5; 16],
            span_id: [6; 8],
            is_sampled: false,
        };
        let [whole, first, _] = call(None, Some(parent)).try_into().unwrap();
        assert_eq!(whole.span_context.trace_id().to_bytes(), [5; 16]);
        assert_eq!(whole.parent_span_id.to_bytes(), [6; 8]);
        assert!(whole.parent_span_is_remote && !first.parent_span_is_remote);

        let [alone, _, _] = call(None, None).try_into().unwrap();
        assert_eq!(alone.span_context.trace_id(), IDS.trace);
    }
}
