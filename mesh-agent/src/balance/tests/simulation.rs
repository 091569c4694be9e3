//! Callers that each send a request as soon as the last one is answered, on a clock of the tests' own.

use super::{Bench, OK, address, ms, settings};
use crate::balance::Picked;
use crate::model::Algorithm;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// When each request started, and where it went.
type Log = Vec<(Duration, SocketAddr)>;

/// `callers` streams of unary calls for `seconds`. An endpoint takes `latency` on average, exponentially distributed.
fn simulate(
    bench: &mut Bench,
    callers: usize,
    seconds: u64,
    latency: impl Fn(SocketAddr) -> Duration,
) -> Log {
    let start = bench.now;
    let end = start + Duration::from_secs(seconds);
    let mut log = vec![];
    let mut under_way: Vec<Option<Picked>> = (0..callers).map(|_| None).collect();
    let firsts = (0..callers).map(|caller| Reverse((start, caller)));
    let mut due: BinaryHeap<Reverse<(Instant, usize)>> = firsts.collect();
    while let Some(Reverse((now, caller))) = due.pop().filter(|Reverse((now, _))| *now < end) {
        bench.now = now;
        if let Some(answered) = under_way[caller].take() {
            answered.ended(now, OK);
        }
        let picked = bench.pick().unwrap();
        log.push((now - start, picked.address()));
        let took = latency(picked.address()).mul_f64(-(1.0 - bench.draws.share()).ln());
        under_way[caller] = Some(picked);
        due.push(Reverse((now + took, caller)));
    }
    log
}

fn percent(log: &Log, n: u8, from: Duration, to: Duration) -> f64 {
    let within = || log.iter().filter(|(at, _)| from <= *at && *at < to);
    let own = within().filter(|(_, to)| *to == address(n)).count();
    own as f64 * 100.0 / within().count() as f64
}

fn ewma(endpoints: usize) -> Bench {
    Bench::new(settings(Algorithm::PeakEwma), &vec![1; endpoints])
}

#[test]
fn equal_endpoints_get_equal_shares() {
    for algorithm in [
        Algorithm::PeakEwma,
        Algorithm::LeastRequest,
        Algorithm::Random,
    ] {
        let mut bench = Bench::new(settings(algorithm.clone()), &[1; 3]);
        let log = simulate(&mut bench, 64, 20, |_| ms(20));
        for n in 0..3 {
            let share = percent(&log, n, ms(0), ms(20_000));
            assert!((26.0..40.0).contains(&share), "{algorithm:?}: {share} %");
        }
    }
}

#[test]
fn a_slow_endpoint_gets_little_but_something_in_any_half_minute() {
    // A single caller waits for each answer: nothing under way makes the others cost more.
    for (slowness, callers) in [(10, 8), (100, 1)] {
        let slow = |at| ms(if at == address(1) { 20 * slowness } else { 20 });
        let log = simulate(&mut ewma(3), callers, 150, slow);
        let all = percent(&log, 1, ms(0), ms(150_000));
        assert!(all < 15.0, "{slowness} times slower: {all} %");
        for from in (0..120).step_by(5).map(|second| ms(second * 1_000)) {
            let share = percent(&log, 1, from, from + ms(30_000));
            assert!(
                share > 0.0,
                "{slowness} times slower: nothing from {from:?}"
            );
        }
    }
}

#[test]
fn an_endpoint_that_gets_well_again_gets_its_share_back_within_a_minute() {
    let mut bench = ewma(3);
    let slow = |at| ms(if at == address(1) { 100 } else { 10 });
    simulate(&mut bench, 32, 20, slow);
    let log = simulate(&mut bench, 32, 90, |_| ms(10));
    let share = percent(&log, 1, ms(60_000), ms(90_000));
    assert!((24.0..42.0).contains(&share), "{share} %");
}

#[test]
fn one_slow_answer_does_not_cost_an_endpoint_its_share() {
    let mut bench = ewma(3);
    simulate(&mut bench, 64, 10, |_| ms(20));
    let hit = bench.pick_of(1);
    bench.now += ms(2_000);
    hit.ended(bench.now, OK);
    let log = simulate(&mut bench, 64, 10, |_| ms(20));
    let share = percent(&log, 1, ms(0), ms(10_000));
    assert!(share > 20.0, "{share} %");
}

#[test]
fn load_follows_weights_when_endpoints_are_busy() {
    let mut bench = Bench::new(settings(Algorithm::PeakEwma), &[1, 1, 2]);
    let log = simulate(&mut bench, 64, 20, |_| ms(20));
    let share = percent(&log, 2, ms(0), ms(20_000));
    assert!((42.0..58.0).contains(&share), "{share} %");
}
