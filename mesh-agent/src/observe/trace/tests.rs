//! Headers as tracers write them, and what comes out of them.

use super::{CallSpan, Propagated, Recording};
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_common::meter::record::reason;
use proptest::prelude::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NAMES: [&str; 9] = [
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "grpc-trace-bin",
];
/// [`W3C`] in OpenCensus' form.
const BINARY: &str = "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE";

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        let name = HeaderName::from_static(name);
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn said(all: &[(&'static str, &str)]) -> (Option<(u8, u8)>, Option<bool>) {
    let Propagated { parent, is_sampled } = Propagated::read(&headers(all));
    if let Some(parent) = parent {
        assert_eq!(parent.is_sampled, is_sampled == Some(true));
    }
    let ids = parent.map(|parent| (parent.trace_id[15], parent.span_id[7]));
    (ids, is_sampled)
}

#[test]
fn every_form_in_use_is_read() {
    let known = Some((0x36, 0xb7));
    let span = "00f067aa0ba902b7";
    let half = "a3ce929d0e0e4736";
    for (all, expected) in [
        (vec![], (None, None)),
        (vec![("traceparent", W3C)], (known, Some(true))),
        (
            vec![("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0")],
            (known, Some(false)),
        ),
        (
            vec![("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-d-05e3ac9a4f6e3b90")],
            (known, Some(true)),
        ),
        (
            vec![("b3", "a3ce929d0e0e4736-00f067aa0ba902b7")],
            (known, None),
        ),
        (vec![("b3", "0")], (None, Some(false))),
        (
            vec![("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-x")],
            (None, None),
        ),
        (
            vec![("x-b3-traceid", TRACE), ("x-b3-spanid", span)],
            (known, None),
        ),
        (
            vec![
                ("x-b3-traceid", half),
                ("x-b3-spanid", span),
                ("x-b3-sampled", "true"),
            ],
            (known, Some(true)),
        ),
        (
            vec![
                ("x-b3-traceid", half),
                ("x-b3-spanid", span),
                ("x-b3-flags", "1"),
            ],
            (known, Some(true)),
        ),
        (vec![("x-b3-sampled", "0")], (None, Some(false))),
        (
            vec![("x-b3-traceid", "zz"), ("x-b3-spanid", span)],
            (None, None),
        ),
        (vec![("grpc-trace-bin", BINARY)], (known, Some(true))),
        (vec![("grpc-trace-bin", "AABL+S81")], (None, None)),
        // What is malformed, or there twice, does not hide what is not.
        (
            vec![("traceparent", "00-0"), ("b3", "0")],
            (None, Some(false)),
        ),
        (
            vec![("traceparent", W3C), ("traceparent", W3C)],
            (None, None),
        ),
        (vec![("b3", "0"), ("traceparent", W3C)], (known, Some(true))),
    ] {
        assert_eq!(said(&all), expected, "{all:?}");
    }
}

#[test]
fn the_caller_decides_and_else_chance() {
    let half = Recording {
        ratio: u32::MAX / 2,
        parent: true,
    };
    let (low, high) = (7_u128, u128::from(u32::MAX));
    for (recording, is_sampled, trace, expected) in [
        (half, Some(true), high, Some(reason::PARENT)),
        (half, Some(false), low, None),
        (half, None, low, Some(reason::SAMPLED)),
        (half, None, high, None),
        (Recording::default(), Some(true), low, None),
        (Recording::default(), None, 0, None),
    ] {
        let said = Propagated {
            parent: None,
            is_sampled,
        };
        let span = recording.begin(&said, (trace, 1));
        assert_eq!(
            span.map(|span| span.reasons),
            expected,
            "{recording:?} {is_sampled:?}"
        );
    }
}

#[test]
fn the_next_one_is_told_in_the_forms_that_the_caller_used() {
    let span = CallSpan::new([0xab; 16], 0x0f, reason::SAMPLED);
    let (trace, id) = ("ab".repeat(16), "0000000000000011");
    let w3c = format!("00-{trace}-{id}-01");
    let half = "ab".repeat(8);
    let whole = format!("{trace}-{id}-1");
    let debugged = format!("{half}-{id}-d");
    let old = format!("{half}-00f067aa0ba902b7-d-05e3ac9a4f6e3b90");
    for (before, after) in [
        (vec![], vec![("traceparent", w3c.as_str())]),
        (
            vec![("traceparent", W3C), ("tracestate", "a=b")],
            vec![("traceparent", w3c.as_str()), ("tracestate", "a=b")],
        ),
        (
            vec![("traceparent", "wrong"), ("tracestate", "a=b")],
            vec![("traceparent", w3c.as_str())],
        ),
        (vec![("b3", "1")], vec![("b3", whole.as_str())]),
        (vec![("b3", old.as_str())], vec![("b3", debugged.as_str())]),
        (
            vec![
                ("x-b3-traceid", half.as_str()),
                ("x-b3-spanid", "00f067aa0ba902b7"),
            ],
            vec![
                ("x-b3-traceid", half.as_str()),
                ("x-b3-spanid", id),
                ("x-b3-parentspanid", "00f067aa0ba902b7"),
                ("x-b3-sampled", "1"),
            ],
        ),
        (
            vec![("traceparent", W3C), ("b3", "1")],
            vec![("traceparent", w3c.as_str()), ("b3", whole.as_str())],
        ),
    ] {
        let mut written = headers(&before);
        span.write(&mut written, 1);
        assert_eq!(written, headers(&after), "{before:?}");
    }
}

#[test]
fn a_trace_of_its_own_never_has_an_id_of_zeros() {
    let all = Recording {
        ratio: u32::MAX,
        parent: true,
    };
    let span = all.begin(&Propagated::default(), (0, u64::MAX)).unwrap();
    assert_ne!(span.trace_id, [0; 16]);
    assert_ne!(span.attempt(0), [0; 8]);
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        trace in 1..u128::MAX,
        first in 0..u64::MAX - 9,
        attempt in 0_usize..8,
        caller in prop::sample::select(vec![
            vec![],
            vec![("traceparent", W3C)],
            vec![("b3", "1")],
            vec![("x-b3-sampled", "1")],
            vec![("grpc-trace-bin", BINARY)],
        ]),
    ) {
        let span = CallSpan::new(trace.to_be_bytes(), first, reason::PARENT);
        let mut headers = headers(&caller);
        span.write(&mut headers, attempt);
        let said = Propagated::read(&headers);
        let parent = said.parent.unwrap();
        prop_assert_eq!(parent.trace_id, span.trace_id);
        prop_assert_eq!(parent.span_id, span.attempt(attempt));
        prop_assert!(parent.is_sampled);
    }

    #[test]
    fn any_headers_say_something_or_nothing(
        all in prop::collection::vec((0..NAMES.len(), "[0-9a-f\\-=d]{0,60}"), 0..6),
    ) {
        let all: Vec<(&'static str, &str)> = all
            .iter()
            .map(|(name, value)| (NAMES[*name], value.as_str()))
            .collect();
        let mut headers = headers(&all);
        let before = Propagated::read(&headers);
        CallSpan::new([1; 16], 1, 0).write(&mut headers, 0);
        prop_assert!(Propagated::read(&headers).parent.is_some(), "{before:?}");
    }
}
