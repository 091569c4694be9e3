//! Clients keep their endpoint while its timeout lasts.

use super::{Bench, address, ms};
use crate::balance::{Client, Settings, Wish};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

fn bench(endpoints: usize) -> Bench {
    let settings = Settings {
        affinity_timeout_s: NonZeroU32::new(100),
        ..Settings::default()
    };
    Bench::new(settings, &vec![1; endpoints])
}

const fn client(netns_cookie: u64) -> Client {
    Client {
        netns_cookie,
        bound: None,
    }
}

fn home(bench: &mut Bench, client: Client, avoid: &[SocketAddr]) -> SocketAddr {
    let wish = Wish {
        client: Some(client),
        avoid,
        ..bench.wish()
    };
    bench.balancer.pick(&wish).unwrap().address()
}

fn homes(bench: &mut Bench, clients: u64) -> Vec<SocketAddr> {
    (0..clients).map(|n| home(bench, client(n), &[])).collect()
}

#[test]
fn a_client_keeps_its_endpoint_and_each_request_renews_it() {
    let mut bench = bench(5);
    let first = homes(&mut bench, 20);
    for _ in 0..10 {
        bench.now += ms(90_000);
        assert_eq!(homes(&mut bench, 20), first);
    }
}

#[test]
fn clients_that_were_silent_for_the_timeout_are_spread_anew() {
    let mut bench = bench(5);
    let before = homes(&mut bench, 200);
    bench.now += ms(100_001);
    let after = homes(&mut bench, 200);
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!((120..200).contains(&moved), "{moved} of 200");
}

#[test]
fn clients_spread_over_all_endpoints() {
    let homes = homes(&mut bench(4), 1_000);
    for n in 0..4 {
        let share = homes.iter().filter(|home| **home == address(n)).count();
        assert!((190..310).contains(&share), "{share}");
    }
}

#[test]
fn addresses_that_sockets_were_bound_to_are_clients_of_their_own() {
    let mut bench = bench(9);
    let bound = |n: u8| Client {
        netns_cookie: 1,
        bound: Some(IpAddr::from([127, 0, 0, n])),
    };
    let homes: BTreeSet<SocketAddr> = (0..50).map(|n| home(&mut bench, bound(n), &[])).collect();
    assert!(homes.len() > 5, "{homes:?}");
}

#[test]
fn a_retry_goes_elsewhere_and_the_client_comes_back() {
    let mut bench = bench(3);
    for client in (0..50).map(client) {
        let own = home(&mut bench, client, &[]);
        assert_ne!(home(&mut bench, client, &[own]), own);
        assert_eq!(home(&mut bench, client, &[]), own);
    }
}

#[test]
fn a_client_stays_through_changes_until_its_endpoint_goes() {
    let mut bench = bench(3);
    let on_last = (0..).find(|n| home(&mut bench, client(*n), &[]) == address(2));
    let on_last = client(on_last.unwrap());
    bench.update(&[1; 200]);
    assert_eq!(home(&mut bench, on_last, &[]), address(2));
    bench.update(&[1; 2]);
    let next = home(&mut bench, on_last, &[]);
    assert_ne!(next, address(2));
    bench.update(&[1; 3]);
    assert_eq!(
        home(&mut bench, on_last, &[]),
        next,
        "it has another endpoint now"
    );
}

#[test]
fn more_clients_than_there_is_room_for_keep_theirs_for_the_period() {
    let mut bench = bench(5);
    let first = homes(&mut bench, 20_000);
    bench.now += ms(50);
    assert_eq!(homes(&mut bench, 20_000), first);
}
