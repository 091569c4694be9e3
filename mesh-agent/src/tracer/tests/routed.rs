//! Calls of the proxy on their way to everybody who wants them.

use super::next;
use crate::api::TapQuery;
use crate::observe::{
    CallOutcome, CallSpan, LocalReply, Losses, OpenCalls, Outcomes, TraceParent, UpstreamSeries,
};
use crate::tracer::{
    AccessLog, AccessLogSettings, CallSinks, CallSource, Moment, RoutedCalls, Spans, Taps,
    TraceChoice,
};
use http::uri::PathAndQuery;
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::reason;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

struct Bench {
    outcomes: Arc<Outcomes>,
    taps: Taps,
    losses: Losses,
    calls: RoutedCalls,
}

impl Bench {
    /// What is offered as a span is lost, and so counted: nobody takes it.
    fn new(choice: TraceChoice, log: Option<(&Path, f64)>) -> Self {
        let outcomes = Arc::new(Outcomes::new(5_000));
        let losses = Losses::default();
        let taps = Taps::new(Arc::new(|| {}), losses.clone());
        let (spans, queue) = Spans::new(losses.clone());
        drop(queue);
        let source = CallSource {
            outcomes: Arc::clone(&outcomes),
            open: Arc::new(OpenCalls::default()),
            upstream: Box::new(|| {
                vec![UpstreamSeries {
                    service: "inventory".into(),
                    namespace: "shop".into(),
                    active: 1,
                    opened: 2,
                    ejections: 3,
                    mirrors_sent: 0,
                    mirrors_failed: 0,
                }]
            }),
        };
        let access_log = log.map(|(path, ratio)| {
            let path = path.to_path_buf();
            AccessLog::new(AccessLogSettings { path, ratio }, || 0.5, losses.clone())
        });
        let sinks = CallSinks {
            choice,
            taps: taps.clone(),
            spans: Some(spans),
            access_log,
        };
        Self {
            outcomes,
            taps,
            losses,
            calls: RoutedCalls::new(source, sinks),
        }
    }

    fn drain(&mut self) -> Duration {
        self.calls.drain(Moment {
            now: Instant::now(),
            calendar: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
        })
    }

    fn completed(&mut self) -> u64 {
        let figures = self.calls.figures();
        figures.rpcs.iter().map(|series| series.completed).sum()
    }
}

fn call(status: StatusCode) -> CallOutcome {
    CallOutcome::answered(
        PathAndQuery::from_static("/a.B/Reserve?secret=1"),
        status,
        Instant::now(),
    )
}

fn named(path: &'static str) -> CallOutcome {
    CallOutcome::answered(
        PathAndQuery::from_static(path),
        StatusCode::Ok,
        Instant::now(),
    )
}

#[test]
fn a_call_is_counted_and_those_who_tap_see_it() {
    let mut bench = Bench::new(TraceChoice::default(), None);
    bench.outcomes.push(named("/a.B/Before"));
    assert_eq!(bench.drain(), Duration::from_secs(1));
    let query = TapQuery::parse("method=Reserve").unwrap();
    let mut tap = bench.taps.open(query).unwrap();
    bench.outcomes.push(named("/a.B/Reserve"));
    bench.outcomes.push(named("/a.B/List"));
    let next_drain = bench.drain();

    assert_eq!(next(&mut tap), ["a.B/Reserve"]);
    assert!(next_drain < Duration::from_secs(1), "somebody watches");
    assert_eq!(bench.completed(), 3);
    assert_eq!(
        bench.losses.figures().spans,
        0,
        "a tap alone gives no spans"
    );
    let figures = bench.calls.figures();
    assert_eq!(figures.services[0].connections_opened, 2);
}

#[test]
fn recorded_slow_and_failed_calls_give_spans_and_no_others_do() {
    let choice = TraceChoice {
        ratio: 0.0,
        slow: Duration::from_secs(1),
        failed: true,
        parent: true,
    };
    let with_span = CallOutcome {
        span: Some(CallSpan::new([1; 16], 1, reason::SAMPLED)),
        ..call(StatusCode::Ok)
    };
    let unsampled = CallOutcome {
        parent: Some(TraceParent {
            trace_id: [1; 16],
            span_id: [2; 8],
            is_sampled: false,
        }),
        ..call(StatusCode::Ok)
    };
    let slow = CallOutcome {
        duration: Duration::from_secs(1),
        ..call(StatusCode::Ok)
    };
    let no_grpc = CallOutcome {
        is_grpc: false,
        ..call(StatusCode::Internal)
    };
    // One for the call and one for its try.
    for (outcome, spans) in [
        (call(StatusCode::Ok), 0),
        (unsampled, 0),
        (no_grpc, 0),
        (with_span, 2),
        (slow, 2),
        (call(StatusCode::NotFound), 2),
    ] {
        let mut bench = Bench::new(choice, None);
        let text = format!("{outcome:?}");
        bench.outcomes.push(outcome);
        bench.drain();
        assert_eq!(bench.losses.figures().spans, spans, "{text}");
    }
}

#[test]
fn many_calls_are_taken_over_sooner_and_what_found_no_room_is_told() {
    let mut bench = Bench::new(TraceChoice::default(), None);
    for _ in 0..5_003 {
        bench.outcomes.push(call(StatusCode::Ok));
    }
    assert!(bench.drain() < Duration::from_secs(1));
    assert_eq!(bench.completed(), 5_000);
    assert_eq!(bench.calls.figures().lost, 3);
    assert_eq!(bench.drain(), Duration::from_secs(1));
    assert_eq!(bench.completed(), 5_000, "each is counted once");
}

#[test]
fn the_access_log_has_its_share_of_calls_and_all_that_failed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let refused = CallOutcome {
        is_grpc: false,
        http_status: 503,
        local_reply: Some(LocalReply::NoEndpoint),
        attempts: vec![],
        ..call(StatusCode::Unavailable)
    };
    let fine = CallOutcome {
        is_grpc: false,
        ..call(StatusCode::Unknown)
    };
    for (ratio, expected) in [(0.0, 2), (0.4, 2), (0.6, 4)] {
        let mut bench = Bench::new(TraceChoice::default(), Some((&path, ratio)));
        bench.outcomes.push(call(StatusCode::Ok));
        bench.outcomes.push(call(StatusCode::NotFound));
        bench.drain();
        bench.outcomes.push(fine.clone());
        bench.outcomes.push(refused.clone());
        bench.drain();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), expected, "{ratio}");
        fs::remove_file(&path).unwrap();

        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(
            last["path"], "/a.B/Reserve",
            "queries are nobody's business"
        );
        assert_eq!(last["mesh_error"], "no_endpoint");
        assert_eq!(
            (&last["http_status"], &last["grpc_status"]),
            (&503.into(), &().into())
        );
        assert_eq!(last["source_workload"], "order");
    }
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(TraceChoice::default(), Some((directory.path(), 1.0)));
    bench.outcomes.push(call(StatusCode::Ok));
    bench.outcomes.push(call(StatusCode::Ok));
    bench.drain();
    assert_eq!(bench.losses.figures().log_lines, 2);
    assert_eq!(bench.completed(), 2);
}
