//! Latencies are those of a client that stamps its own socket, in the exposition and through a real Prometheus.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::http2::{Block, client_begin, headers, message};
use mesh_tests::load::{self, BOUNDS_NS, BUCKETS, Call, ORDER_BYTES, SERVICE, bucket};
use mesh_tests::metered::{Side, durations, expect_counts, rows};
use mesh_tests::pair::{Members, Pair};
use mesh_tests::prometheus::Prometheus;
use mesh_tests::rpc::Implementation::Tonic;
use mesh_tests::wire::{Dialling, Wire};

/// Stamped calls.
const CALLS: usize = 600;

/// One in so many may lie further off: the stamping client is woken late where others want the CPU.
const LATE_SHARE: u64 = 50;

/// Requests for a server that takes from nothing to 30 ms, most of the time little, and their number.
fn requests() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(5);
    let block = Block::request_for(&format!("/{SERVICE}/Get"));
    (0..CALLS)
        .map(|number| {
            let mut call = Call::unary("Get", 0);
            call.delay_us = match random.u8(..10) {
                0 => random.u32(10_000..30_000),
                1..4 => random.u32(1_000..8_000),
                _ => 0,
            };
            let order: [u8; ORDER_BYTES] = call.order();
            let stream = u32::try_from(2 * number + 1).expect("a few hundred");
            [
                headers(stream, false, block.bytes()),
                message(stream, true, &order),
            ]
            .concat()
        })
        .collect()
}

/// Makes the stamped calls; gives their times by bucket.
fn stamp(pair: &Pair, agent: &Agent) -> Result<[u64; BUCKETS]> {
    let mut client = Wire::start(&pair.client)?;
    let socket = client.connect(pair.target(), Dialling::default())?;
    client.send(socket, &[&client_begin()])?;
    let times_ns = client.stamp(socket, &requests())?;
    let mut buckets = [0; BUCKETS];
    for time_ns in &times_ns {
        buckets[bucket(*time_ns)] += 1;
    }
    let wanted = rows(&[("Get", "OK", CALLS as u64)]);
    let metrics = expect_counts(agent, Side::Client, &[], &wanted)?;
    let metered = durations(&metrics, Side::Client, &[]);
    let stamped_ns: u64 = times_ns.iter().sum();
    assert!(
        metered.sum_ns <= stamped_ns && metered.sum_ns * 2 > stamped_ns,
        "{} ns, the client stamped {stamped_ns} ns",
        metered.sum_ns
    );
    Ok(buckets)
}

/// Calls of the buckets up to this one.
fn below(buckets: &[u64; BUCKETS], bound: usize) -> u64 {
    buckets[..=bound.min(BUCKETS - 1)].iter().sum()
}

#[test]
fn a_metered_latency_lies_within_one_bucket_of_the_stamped_one() -> Result {
    for members in [Members::Both, Members::Client] {
        let pair = Pair::new(members)?;
        let _server = load::serve(Tonic, &pair.server, pair.endpoint())?;
        let agent = pair.start_agent()?;
        let stamped = stamp(&pair, &agent)?;
        let metrics = agent.metrics()?;
        let metered = durations(&metrics, Side::Client, &[]).buckets;
        for bound in 0..BUCKETS {
            // No call took longer than its stamps say, and few are more than a bucket shorter.
            let shorter = below(&stamped, bound);
            let longer = below(&stamped, bound + 1) + CALLS as u64 / LATE_SHARE;
            let seen = below(&metered, bound);
            assert!(
                (shorter..=longer).contains(&seen),
                "{members:?}, up to bucket {bound}: {seen} of {metered:?}, stamped {stamped:?}"
            );
        }
        if members == Members::Both {
            let server = durations(&metrics, Side::Server, &[]).buckets;
            assert_eq!(server, metered, "one observation feeds both series");
        }
    }
    Ok(())
}

#[test]
fn prometheus_computes_the_stamped_quantile_within_a_bucket() -> Result {
    let pair = Pair::new(Members::Both)?;
    let _server = load::serve(Tonic, &pair.server, pair.endpoint())?;
    let agent = pair.start_agent()?;
    let prometheus = Prometheus::start(&agent)?;
    let stamped = stamp(&pair, &agent)?;
    let count = |side: Side| format!("sum({}_count)", side.metric());
    for side in [Side::Client, Side::Server] {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred calls")]
        let all = |value: f64| (value - CALLS as f64).abs() < 0.5;
        prometheus.await_value(&count(side), all)?;
        let quantile = format!(
            "histogram_quantile(0.99, sum by (le) ({}_bucket))",
            side.metric()
        );
        let p99 = prometheus.await_value(&quantile, |value| value > 0.0)?;
        let wanted = CALLS as u64 * 99 / 100;
        let stamped_bucket = (0..BUCKETS)
            .find(|&bound| below(&stamped, bound) >= wanted)
            .expect("the last bucket holds all");
        #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53")]
        let bound = |index: usize| BOUNDS_NS[index.min(BUCKETS - 2)] as f64 / 1e9;
        let from = if stamped_bucket < 2 {
            0.0
        } else {
            bound(stamped_bucket - 2)
        };
        let to = bound(stamped_bucket + 1);
        assert!(
            (from..=to).contains(&p99),
            "{side:?}: p99 is {p99} s, stamped {stamped:?}"
        );
    }
    Ok(())
}
