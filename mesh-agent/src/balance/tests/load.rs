//! What counts as load: requests, streams, answers that do not come.

use super::{Bench, OK, address, ms, settings};
use crate::balance::Picked;
use crate::grpc::Code;
use crate::model::Algorithm;
use crate::resilience::Verdict;
use std::time::Duration;

fn bench() -> Bench {
    Bench::new(settings(Algorithm::PeakEwma), &[1; 2])
}

fn under_way(bench: &Bench) -> Vec<(u32, u32)> {
    let view = bench.balancer.view(bench.now);
    view.iter().map(|e| (e.pending, e.streams)).collect()
}

/// To the microsecond.
fn latency(bench: &Bench, n: usize, now: std::time::Instant) -> Duration {
    let seen = bench.balancer.view(now)[n].latency;
    Duration::from_micros(u64::try_from((seen + Duration::from_nanos(500)).as_micros()).unwrap())
}

#[test]
fn a_request_counts_until_it_ends_or_is_dropped() {
    let mut bench = bench();
    let picked = bench.pick_of(0);
    assert_eq!(under_way(&bench), [(1, 0), (0, 0)]);
    picked.ended(bench.now, OK);
    assert_eq!(under_way(&bench), [(0, 0), (0, 0)]);
    drop(bench.pick_of(1));
    assert_eq!(under_way(&bench), [(0, 0), (0, 0)]);
}

#[test]
fn what_is_open_after_its_answer_is_a_stream_and_not_slow() {
    let mut bench = bench();
    let mut picked = bench.pick_of(0);
    picked.answered(bench.now + ms(5));
    picked.answered(bench.now + ms(50));
    picked.becomes_stream();
    assert_eq!(under_way(&bench), [(0, 1), (0, 0)]);
    picked.ended(bench.now + ms(86_400_000), OK);
    assert_eq!(under_way(&bench), [(0, 0), (0, 0)]);
    assert_eq!(latency(&bench, 0, bench.now), ms(5));
}

#[test]
fn a_stream_of_requests_says_nothing_of_latency() {
    let mut bench = bench();
    let mut picked = bench.pick_of(0);
    picked.becomes_stream();
    picked.answered(bench.now + ms(9_000));
    picked.ended(bench.now + ms(9_000), OK);
    assert_eq!(under_way(&bench), [(0, 0), (0, 0)]);
    assert_eq!(latency(&bench, 0, bench.now), ms(30));
}

#[test]
fn open_streams_do_not_keep_requests_away() {
    let mut bench = bench();
    for n in [0, 1] {
        bench.pick_of(n).ended(bench.now + ms(2), OK);
    }
    let mut streams: Vec<Picked> = (0..15).map(|_| bench.pick_of(0)).collect();
    streams.iter_mut().for_each(Picked::becomes_stream);
    let _waiting = bench.pick_of(1);
    let next = bench.pick().unwrap().address();
    assert_eq!(
        next,
        address(0),
        "fifteen streams weigh less than a request"
    );
}

#[test]
fn streams_alone_are_spread_evenly() {
    for algorithm in [Algorithm::PeakEwma, Algorithm::LeastRequest] {
        let mut bench = Bench::new(settings(algorithm), &[1; 4]);
        let mut open = vec![];
        for _ in 0..400 {
            let mut picked = bench.pick().unwrap();
            picked.answered(bench.now + ms(1));
            open.push(picked);
        }
        let streams = under_way(&bench);
        assert!(
            streams.iter().all(|(_, n)| (95..=105).contains(n)),
            "{streams:?}"
        );
    }
}

#[test]
fn an_endpoint_that_does_not_answer_is_left_to_those_that_wait_for_it() {
    let mut bench = bench();
    for n in [0, 1] {
        bench.pick_of(n).ended(bench.now + ms(1), OK);
    }
    let _hung = [bench.pick_of(0), bench.pick_of(0)];
    let shares = bench.shares(1_000);
    assert_eq!(shares.get(&address(0)), None, "{shares:?}");
}

#[test]
fn an_endpoint_that_nobody_picked_for_ten_seconds_is_seen_again() {
    let mut bench = bench();
    bench.pick_of(1).ended(bench.now + ms(1), OK);
    let slow = bench.pick_of(0);
    bench.now += ms(1_000_000);
    slow.ended(bench.now, OK);
    drop(bench.pick_of(0));
    bench.now += ms(9_900);
    assert!(!bench.shares(300).contains_key(&address(0)));
    bench.now += ms(200);
    assert_eq!(bench.shares(300).get(&address(0)), Some(&1));
}

#[test]
fn giving_up_and_failing_fast_do_not_look_fast() {
    let mut bench = bench();
    for (verdict, took, expected) in [
        (Verdict::ConnectFailed, 1, 30),
        (Verdict::Reset, 1, 30),
        (Verdict::Status(Code::Unavailable), 1, 30),
        (Verdict::Nothing, 1, 30),
        (Verdict::Nothing, 80, 80),
    ] {
        let end = bench.now + ms(took);
        bench.pick_of(0).ended(end, verdict);
        assert_eq!(
            latency(&bench, 0, end),
            ms(expected),
            "{verdict:?} after {took} ms"
        );
    }
}

#[test]
fn what_is_known_of_an_endpoint_stays_while_the_set_changes() {
    let mut bench = bench();
    bench.pick_of(0).ended(bench.now + ms(7), OK);
    let open = bench.pick_of(0);
    bench.now += ms(7);
    bench.update(&[3, 1, 1]);
    assert_eq!(under_way(&bench), [(1, 0), (0, 0), (0, 0)]);
    assert_eq!(latency(&bench, 0, bench.now), ms(7));
    bench.update(&[]);
    drop(open);
    bench.update(&[1]);
    assert_eq!(under_way(&bench), [(0, 0)]);
    assert_eq!(
        latency(&bench, 0, bench.now),
        ms(30),
        "what left and came back is new"
    );
}
