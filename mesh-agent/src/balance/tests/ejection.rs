//! Endpoints that fail get no requests until one of them is answered.

use super::{Bench, OK, address, ms};
use crate::balance::{Picked, Settings, Wish};
use crate::grpc::Code;
use crate::model::{Algorithm, Draws, HashKey, LoadBalancing, OutlierDetection};
use crate::resilience::{Standing, Verdict};
use std::thread;

const UNAVAILABLE: Verdict = Verdict::Status(Code::Unavailable);

fn bench(algorithm: Algorithm, endpoints: usize) -> Bench {
    let settings = Settings {
        load_balancing: LoadBalancing {
            algorithm,
            slow_start: None,
        },
        outlier_detection: Some(OutlierDetection::default()),
        affinity_timeout_s: None,
    };
    Bench::new(settings, &vec![1; endpoints])
}

fn is_out(bench: &Bench, n: usize) -> bool {
    bench.balancer.view(bench.now)[n].standing != Standing::In
}

/// Sends requests, of which those to endpoint `n` fail, until it is out.
fn eject(bench: &mut Bench, n: u8) {
    while !is_out(bench, usize::from(n)) {
        let picked = bench.pick().unwrap();
        let is_target = picked.address() == address(n);
        picked.ended(bench.now + ms(1), if is_target { UNAVAILABLE } else { OK });
        bench.now += ms(1);
    }
}

fn gets_requests(bench: &mut Bench, n: u8) -> bool {
    bench.shares(300).contains_key(&address(n))
}

#[test]
fn a_failing_endpoint_gets_nothing_and_the_others_share_evenly() {
    let mut bench = bench(Algorithm::RoundRobin, 4);
    eject(&mut bench, 1);
    assert_eq!(bench.balancer.ejections(), 1);
    let shares: Vec<_> = bench.shares(900).into_iter().collect();
    assert_eq!(
        shares,
        [(address(0), 300), (address(2), 300), (address(3), 300)]
    );
}

#[test]
fn one_request_sees_whether_it_is_well_again() {
    for algorithm in [
        Algorithm::LeastRequest,
        Algorithm::RingHash(HashKey::Source),
    ] {
        let mut bench = bench(algorithm, 3);
        eject(&mut bench, 1);
        bench.now += ms(29_990);
        assert!(!gets_requests(&mut bench, 1));
        bench.now += ms(20);
        let probe = bench.pick().unwrap();
        assert!(probe.is_probe() && probe.address() == address(1));
        assert!(!gets_requests(&mut bench, 1), "one at a time");
        probe.ended(bench.now + ms(1), OK);
        assert!(!is_out(&bench, 1));
        assert!(gets_requests(&mut bench, 1));
    }
}

#[test]
fn a_probe_that_fails_keeps_it_out_for_longer() {
    let mut bench = bench(Algorithm::PeakEwma, 3);
    eject(&mut bench, 1);
    bench.now += ms(30_010);
    let probe = bench.pick().unwrap();
    probe.ended(bench.now, Verdict::ConnectFailed);
    bench.now += ms(59_000);
    assert!(!gets_requests(&mut bench, 1));
    bench.now += ms(2_000);
    assert!(bench.pick().unwrap().is_probe());
}

#[test]
fn a_probe_that_is_dropped_leaves_its_place_to_the_next() {
    let mut bench = bench(Algorithm::PeakEwma, 3);
    eject(&mut bench, 1);
    bench.now += ms(30_010);
    drop(bench.pick().unwrap());
    assert!(bench.pick().unwrap().is_probe());
}

#[test]
fn a_probe_that_becomes_a_stream_need_not_end_to_have_answered() {
    let mut bench = bench(Algorithm::PeakEwma, 3);
    eject(&mut bench, 1);
    bench.now += ms(30_010);
    let mut stream = bench.pick().unwrap();
    stream.becomes_stream();
    assert!(is_out(&bench, 1), "only the caller has said anything");
    stream.answered(bench.now + ms(3));
    assert!(!is_out(&bench, 1));
    stream.ended(bench.now + ms(90), UNAVAILABLE);
    assert!(!is_out(&bench, 1), "one failure in a row");
}

#[test]
fn a_retry_is_never_a_probe() {
    let mut bench = bench(Algorithm::PeakEwma, 3);
    eject(&mut bench, 1);
    bench.now += ms(30_010);
    let tried = [address(0)];
    let wish = Wish {
        avoid: &tried,
        ..bench.wish()
    };
    let picked = bench.balancer.pick(&wish).unwrap();
    assert!(!picked.is_probe() && picked.address() == address(2));
}

#[test]
fn an_ejected_endpoint_is_no_other_one_to_try() {
    let mut bench = bench(Algorithm::PeakEwma, 3);
    let tried = [address(0), address(2)];
    assert!(bench.balancer.has_other(&tried));
    eject(&mut bench, 1);
    assert!(!bench.balancer.has_other(&tried));
    assert!(bench.balancer.has_other(&tried[..1]));
}

#[test]
fn the_last_endpoint_is_never_out() {
    let mut bench = bench(Algorithm::PeakEwma, 2);
    eject(&mut bench, 1);
    for _ in 0..100 {
        bench.pick().unwrap().ended(bench.now, UNAVAILABLE);
    }
    assert!(!is_out(&bench, 0));
    assert!(bench.pick().is_some());
}

#[test]
fn when_the_others_leave_the_ejected_one_is_in_again() {
    let mut bench = bench(Algorithm::PeakEwma, 2);
    eject(&mut bench, 0);
    bench.now += ms(30_010);
    let probe = bench.pick().unwrap();
    assert!(probe.is_probe());
    bench.update(&[1]);
    assert!(!is_out(&bench, 0));
    probe.ended(bench.now, UNAVAILABLE);
    assert!(!is_out(&bench, 0), "a probe from before settles nothing");
    assert!(bench.pick().is_some());
}

#[test]
fn ejection_outlives_changes_of_the_set_and_ends_with_its_policy() {
    let mut bench = bench(Algorithm::PeakEwma, 3);
    eject(&mut bench, 1);
    bench.update(&[1; 4]);
    assert!(is_out(&bench, 1));
    assert!(!gets_requests(&mut bench, 1));
    bench.settings.outlier_detection = None;
    bench.update(&[1; 4]);
    assert!(!is_out(&bench, 1));
    assert!(gets_requests(&mut bench, 1));
}

#[test]
fn answers_of_before_do_not_change_what_was_decided() {
    let mut bench = bench(Algorithm::RoundRobin, 3);
    let before: Vec<Picked> = (0..30).map(|_| bench.pick().unwrap()).collect();
    eject(&mut bench, 1);
    for picked in before {
        picked.ended(bench.now, OK);
    }
    assert!(is_out(&bench, 1));
    assert_eq!(bench.balancer.ejections(), 1);
}

#[test]
fn threads_leave_nothing_behind_and_never_find_nothing() {
    let bench = bench(Algorithm::PeakEwma, 4);
    let (balancer, start) = (&bench.balancer, bench.now);
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                let mut draws = Draws::new(seed);
                for step in 0..4_000 {
                    let now = start + ms(step * 20);
                    let wish = Wish {
                        now,
                        random: draws.number(),
                        hash: None,
                        client: None,
                        avoid: &[],
                    };
                    let mut picked = balancer.pick(&wish).unwrap();
                    match draws.below(8) {
                        0 => picked.answered(now),
                        1 => picked.becomes_stream(),
                        2 => drop(picked),
                        3..6 => picked.ended(now, UNAVAILABLE),
                        _ => picked.ended(now, OK),
                    }
                }
            });
        }
        // All of them at the end: of the last one left nothing is ejected, whenever the threads have their turn.
        for step in 0..=2_000_usize {
            bench.update(&[1; 4][step % 4..]);
        }
    });
    assert!(balancer.ejections() > 0);
    let view = balancer.view(start);
    assert!(view.iter().any(|e| e.standing == Standing::In), "{view:?}");
    assert!(
        view.iter().all(|e| (e.pending, e.streams) == (0, 0)),
        "{view:?}"
    );
}
