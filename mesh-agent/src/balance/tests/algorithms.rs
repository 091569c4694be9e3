//! Shares of each algorithm, with and without weights, threads, retries and new endpoints.

use super::{Bench, OK, address, ms, settings};
use crate::balance::Wish;
use crate::model::Algorithm;
use proptest::prelude::{prop_assert, proptest};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;

fn all_algorithms() -> [Algorithm; 5] {
    use crate::model::HashKey::Source;
    [
        Algorithm::PeakEwma,
        Algorithm::LeastRequest,
        Algorithm::RoundRobin,
        Algorithm::Random,
        Algorithm::RingHash(Source),
    ]
}

#[test]
fn without_endpoints_there_is_nothing_to_pick() {
    for algorithm in all_algorithms() {
        let mut bench = Bench::new(settings(algorithm), &[1]);
        assert!(bench.pick().is_some());
        bench.update(&[]);
        assert!(bench.pick().is_none());
    }
}

#[test]
fn turns_are_equal_to_one_whatever_the_number_of_threads() {
    let bench = Bench::new(settings(Algorithm::RoundRobin), &[1; 3]);
    let (balancer, now) = (&bench.balancer, bench.now);
    let total = Mutex::new(BTreeMap::<SocketAddr, u32>::new());
    thread::scope(|scope| {
        for random in 0..4 {
            let total = &total;
            scope.spawn(move || {
                let wish = Wish {
                    now,
                    random,
                    hash: None,
                    client: None,
                    avoid: &[],
                };
                for _ in 0..2_501 {
                    let picked = balancer.pick(&wish).unwrap().address();
                    *total.lock().unwrap().entry(picked).or_default() += 1;
                }
            });
        }
    });
    // 10,004 requests.
    let shares: Vec<u32> = total.into_inner().unwrap().into_values().collect();
    assert!(
        shares.iter().all(|share| [3_334, 3_335].contains(share)),
        "{shares:?}"
    );
}

#[test]
fn shares_of_idle_endpoints_are_those_of_their_weights() {
    for algorithm in all_algorithms() {
        let mut bench = Bench::new(settings(algorithm.clone()), &[1, 3, 6]);
        let shares = bench.tally(30_000);
        for (share, expected) in shares.iter().zip([3_000, 9_000, 18_000_u32]) {
            assert!(share.abs_diff(expected) < 400, "{algorithm:?}: {shares:?}");
        }
    }
}

#[test]
fn turns_by_weight_are_exact() {
    let mut bench = Bench::new(settings(Algorithm::RoundRobin), &[1, 2, 4]);
    let shares = bench.tally(7_000);
    let expected = [1_000, 2_000, 4_000_u32];
    assert!(
        shares.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2),
        "{shares:?}"
    );
}

#[test]
fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
    for algorithm in all_algorithms() {
        let mut bench = Bench::new(settings(algorithm.clone()), &[5, 1, 1]);
        let tried = [address(0), address(1)];
        for key in 0..200 {
            let wish = Wish {
                avoid: &tried,
                hash: Some(key),
                ..bench.wish()
            };
            let picked = bench.balancer.pick(&wish).unwrap();
            assert_eq!(picked.address(), address(2), "{algorithm:?}");
        }
        bench.update(&[5, 1]);
        let wish = Wish {
            avoid: &tried,
            ..bench.wish()
        };
        assert!(bench.balancer.pick(&wish).is_some(), "{algorithm:?}");
    }
}

#[test]
fn a_new_endpoint_gets_its_first_request_with_the_next_ones() {
    for (algorithm, within) in [
        (Algorithm::PeakEwma, 1),
        (Algorithm::LeastRequest, 1),
        (Algorithm::RoundRobin, 4),
    ] {
        let mut bench = Bench::new(settings(algorithm.clone()), &[1; 3]);
        for _ in 0..300 {
            bench.pick().unwrap().ended(bench.now + ms(1), OK);
        }
        bench.update(&[1; 4]);
        let shares = bench.shares(within);
        assert_eq!(
            shares.get(&address(3)),
            Some(&1),
            "{algorithm:?}: {shares:?}"
        );
    }
}

#[test]
fn a_new_endpoint_warms_up_in_a_line_from_a_tenth() {
    for algorithm in [
        Algorithm::RoundRobin,
        Algorithm::Random,
        Algorithm::LeastRequest,
    ] {
        let mut slow = settings(algorithm.clone());
        slow.load_balancing.slow_start = Some(ms(10_000));
        let mut bench = Bench::new(slow, &[1; 3]);
        let at_first = bench.tally(3_000);
        assert!(
            at_first.iter().all(|share| (850..1_150).contains(share)),
            "none is newer"
        );
        bench.update(&[1; 4]);
        let joined = bench.now;
        for (after_s, expected) in [(0, 0.1), (1, 0.1), (5, 0.5), (8, 0.8), (10, 1.0), (99, 1.0)] {
            bench.now = joined + ms(after_s * 1_000);
            let shares = bench.tally(20_000);
            let others = f64::from(shares[0] + shares[1] + shares[2]) / 3.0;
            let share = f64::from(shares[3]) / others;
            assert!(
                (share - expected).abs() < 0.09,
                "{algorithm:?} after {after_s} s: {share}"
            );
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_set_some_endpoint_of_it_is_picked(
        weights in proptest::collection::vec(0_u32..1_000, 1..20),
        algorithm in 0_usize..5,
        avoided in proptest::collection::vec(0_u8..20, 0..20),
        slow_start_s in proptest::option::of(1_u64..100),
        age_s in 0_u64..200,
    ) {
        let mut with = settings(all_algorithms()[algorithm].clone());
        with.load_balancing.slow_start = slow_start_s.map(|s| ms(s * 1_000));
        let mut bench = Bench::new(with, &weights[..1]);
        bench.update(&weights);
        bench.now += ms(age_s * 1_000);
        let avoid: Vec<SocketAddr> = avoided.into_iter().map(address).collect();
        let set: Vec<SocketAddr> = (0_u8..).zip(&weights).map(|(n, _)| address(n)).collect();
        let is_other_left = set.iter().any(|endpoint| !avoid.contains(endpoint));
        for _ in 0..30 {
            let hash = Some(bench.draws.number());
            let wish = Wish { avoid: &avoid, hash, ..bench.wish() };
            let picked = bench.balancer.pick(&wish).unwrap().address();
            prop_assert!(set.contains(&picked));
            prop_assert!(!is_other_left || !avoid.contains(&picked));
        }
    }
}
