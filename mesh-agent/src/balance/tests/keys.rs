//! `RingHash`: keys stay where they are.

use super::{Bench, address, settings};
use crate::balance::{Wish, hash_key};
use crate::model::{Algorithm, Draws, HashKey};
use std::net::SocketAddr;

fn bench(weights: &[u32]) -> Bench {
    Bench::new(settings(Algorithm::RingHash(HashKey::Source)), weights)
}

fn homes(bench: &mut Bench) -> Vec<SocketAddr> {
    let keys = 0..20_000_u32;
    let home = |key: u32| {
        let wish = Wish {
            hash: Some(hash_key(&key.to_be_bytes())),
            ..bench.wish()
        };
        bench.balancer.pick(&wish).unwrap().address()
    };
    keys.map(home).collect()
}

#[test]
fn keys_are_shared_by_weight() {
    for (weights, expected) in [
        ([1, 1, 1, 1], [5_000; 4]),
        ([1, 2, 3, 4], [2_000, 4_000, 6_000, 8_000]),
    ] {
        let homes = homes(&mut bench(&weights));
        for (n, expected) in (0..4).zip(expected) {
            let share = homes.iter().filter(|home| **home == address(n)).count();
            assert!(share.abs_diff(expected) < 300, "{share} of {expected}");
        }
    }
}

#[test]
fn a_key_leaves_its_endpoint_only_for_a_new_one_and_when_it_goes() {
    let mut bench = bench(&[1; 5]);
    let before = homes(&mut bench);
    bench.update(&[1; 6]);
    let with_one_more = homes(&mut bench);
    let pairs = before.iter().zip(&with_one_more);
    let moved: Vec<&SocketAddr> = pairs.filter(|(a, b)| a != b).map(|(_, b)| b).collect();
    assert!(moved.iter().all(|home| **home == address(5)));
    assert!(
        (3_000..3_700).contains(&moved.len()),
        "a sixth moves: {}",
        moved.len()
    );
    bench.update(&[1; 4]);
    let with_one_less = homes(&mut bench);
    for (a, b) in before.iter().zip(&with_one_less) {
        assert!(a == b || *a == address(4), "{a} -> {b}");
    }
    bench.update(&[1; 5]);
    assert_eq!(homes(&mut bench), before, "and they come back");
}

#[test]
fn a_larger_weight_only_attracts() {
    let mut bench = bench(&[1, 1, 1]);
    let before = homes(&mut bench);
    bench.update(&[1, 1, 2]);
    for (a, b) in before.iter().zip(&homes(&mut bench)) {
        assert!(a == b || *b == address(2), "{a} -> {b}");
    }
}

#[test]
fn every_agent_finds_the_same_home() {
    let mut first = bench(&[1, 2, 3]);
    let mut second = bench(&[1, 2, 3]);
    second.draws = Draws::new(99);
    assert_eq!(homes(&mut first), homes(&mut second));
}

#[test]
fn a_request_without_a_key_goes_anywhere() {
    let shares = bench(&[1; 3]).tally(3_000);
    assert!(
        shares.len() == 3 && shares.iter().all(|share| *share > 850),
        "{shares:?}"
    );
}
