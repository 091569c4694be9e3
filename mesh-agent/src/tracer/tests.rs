//! The thread with a feed of the test's making, its taps and its queue of spans.

mod routed;

use super::{Feed, Spans, Tap, Taps, TooManyTaps, TraceChoice, Tracer};
use crate::api::{TAPS_MAX, TapQuery};
use crate::lifecycle::Worker;
use crate::observe::{DestinationLabels, Losses, ObservedMethod, ObservedRpc, SourceLabels};
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{Sampling, Side, reason};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime};

/// What the test tells the feed.
enum Told {
    Rpcs(Vec<ObservedRpc>),
    Wake,
}

struct Bench {
    tell: Sender<Told>,
    chosen: Receiver<Sampling>,
    taps: Taps,
    losses: Losses,
    tracer: Tracer,
    worker: Worker,
}

impl Bench {
    fn start(choice: TraceChoice, spans: Option<Spans>, losses: Losses) -> Self {
        let (tell, told) = channel();
        let (choose, chosen) = channel();
        let waker = tell.clone();
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            // The thread may have ended.
            waker.send(Told::Wake).ok();
        });
        let taps = Taps::new(Arc::clone(&wake), losses.clone());
        let feed = move || feed(told, choose);
        let (tracer, worker) = Tracer::start(feed, wake, choice, taps.clone(), spans).unwrap();
        Self {
            tell,
            chosen,
            taps,
            losses,
            tracer,
            worker,
        }
    }

    fn stop(self) -> Vec<Sampling> {
        self.tracer.stop();
        self.worker.join().unwrap();
        self.chosen.iter().collect()
    }
}

fn feed(told: Receiver<Told>, choose: Sender<Sampling>) -> Feed {
    let waiting = std::rc::Rc::new(std::cell::RefCell::new(vec![]));
    let ready = std::rc::Rc::clone(&waiting);
    Feed {
        wait: Box::new(move |_| {
            if let Ok(Told::Rpcs(rpcs)) = told.recv() {
                ready.borrow_mut().extend(rpcs);
            }
            Ok(())
        }),
        read: Box::new(move |each| {
            waiting.borrow_mut().drain(..).for_each(each);
            false
        }),
        choose: Box::new(move |sampling| choose.send(sampling).unwrap()),
    }
}

fn rpc(method: &str, reasons: u32) -> ObservedRpc {
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
            name: Some(Arc::from(method)),
            is_label: true,
        },
        status: StatusCode::Ok,
        side: Side::Both,
        started: SystemTime::UNIX_EPOCH,
        duration: Duration::from_millis(1),
        first_response: None,
        request_bytes: 0,
        response_bytes: 0,
        parent: None,
        reasons,
        routed: None,
    }
}

fn next(tap: &mut Tap) -> Vec<String> {
    let mut rpcs = vec![];
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(poll_fn(|context| tap.poll_next(context, &mut rpcs, 10_000)));
    rpcs.iter()
        .map(|rpc| rpc.method.shown().to_owned())
        .collect()
}

#[test]
fn the_meter_tells_of_everything_only_while_somebody_taps() {
    let choice = TraceChoice {
        ratio: 0.5,
        slow: Duration::from_secs(1),
        failed: true,
        parent: true,
    };
    let bench = Bench::start(choice, None, Losses::default());
    let tap = bench.taps.open(TapQuery::default()).unwrap();
    assert_eq!(bench.chosen.recv().unwrap(), choice.sampling(false));
    assert_eq!(bench.chosen.recv().unwrap(), choice.sampling(true));
    drop(tap);
    assert_eq!(bench.chosen.recv().unwrap(), choice.sampling(false));

    let [at_end] = bench.stop().try_into().unwrap();
    assert_eq!(at_end, TraceChoice::default().sampling(false));
}

#[test]
fn a_share_becomes_a_number_of_2_to_the_32() {
    for (ratio, expected) in [(0.0, 0), (0.5, 1 << 31), (1.0, u32::MAX)] {
        let choice = TraceChoice {
            ratio,
            ..TraceChoice::default()
        };
        assert_eq!(choice.sampling(false).ratio, expected);
        assert_eq!(choice.recording().ratio, expected);
    }
}

#[test]
fn everybody_gets_what_matches_and_learns_of_the_end() {
    let bench = Bench::start(TraceChoice::default(), None, Losses::default());
    let query = TapQuery::parse("method=Reserve").unwrap();
    let mut one = bench.taps.open(query).unwrap();
    let mut all = bench.taps.open(TapQuery::default()).unwrap();
    let rpcs = ["a.B/Reserve", "a.B/List"].map(|method| rpc(method, reason::TAP));
    bench.tell.send(Told::Rpcs(rpcs.to_vec())).unwrap();

    assert_eq!(next(&mut one), ["a.B/Reserve"]);
    // What is offered one by one may be met halfway.
    let mut got = next(&mut all);
    while got.len() < rpcs.len() {
        got.extend(next(&mut all));
    }
    assert_eq!(got, ["a.B/Reserve", "a.B/List"]);
    bench.taps.close();
    assert!(next(&mut one).is_empty());
    let mut late = bench.taps.open(TapQuery::default()).unwrap();
    assert!(next(&mut late).is_empty(), "nothing begins after the end");
    bench.stop();
}

#[test]
fn a_slow_reader_loses_lines_which_are_counted_and_disturbs_nobody() {
    const SENT: usize = 5_000;
    let bench = Bench::start(TraceChoice::default(), None, Losses::default());
    let slow = bench.taps.open(TapQuery::default()).unwrap();
    let query = TapQuery::parse("method=Last").unwrap();
    let mut other = bench.taps.open(query).unwrap();
    let mut rpcs = vec![rpc("a.B/Reserve", reason::TAP); SENT];
    rpcs.push(rpc("a.B/Last", reason::TAP));
    bench.tell.send(Told::Rpcs(rpcs)).unwrap();

    assert_eq!(next(&mut other), ["a.B/Last"]);
    let lost = slow.lost();
    assert_eq!(lost, SENT as u64 + 1 - super::taps::WAITING_MAX as u64);
    assert_eq!(bench.losses.figures().tap_lines, lost);
    bench.stop();
}

#[test]
fn readers_beyond_the_places_are_turned_away_until_one_goes() {
    let bench = Bench::start(TraceChoice::default(), None, Losses::default());
    let mut taps: Vec<_> = (0..TAPS_MAX)
        .map(|_| bench.taps.open(TapQuery::default()).unwrap())
        .collect();
    let refused = bench.taps.open(TapQuery::default());
    assert_eq!(refused.err(), Some(TooManyTaps));
    taps.pop();
    assert!(bench.taps.open(TapQuery::default()).is_ok());
    bench.stop();
}

#[test]
fn spans_that_find_no_room_are_counted_and_those_of_a_tap_are_none() {
    const SENT: usize = 4_100;
    let losses = Losses::default();
    let (spans, queue) = Spans::new(losses.clone());
    let bench = Bench::start(TraceChoice::default(), Some(spans), losses);
    let mut tap = bench.taps.open(TapQuery::default()).unwrap();
    let mut rpcs = vec![rpc("a.B/Tapped", reason::TAP); 100];
    rpcs.extend(vec![rpc("a.B/Failed", reason::FAILED | reason::TAP); SENT]);
    bench.tell.send(Told::Rpcs(rpcs)).unwrap();

    // Spans are offered after taps: at the end of the thread they all have been.
    while next(&mut tap)
        .last()
        .is_none_or(|name| name != "a.B/Failed")
    {}
    let losses = bench.losses.clone();
    bench.stop();
    // Two spans each.
    let overflow = 2 * (SENT - super::spans::WAITING_MAX) as u64;
    assert_eq!(losses.figures().spans, overflow);
    drop(queue);
}
