//! Packets that no peer sends, given to the meter's programs without a network.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::crafted::{ETHERNET, Program, Segment};
use mesh_tests::http2::client_begin;
use mesh_tests::metered::settled;
use mesh_tests::pair::{Members, Pair};
use mesh_tests::stage::{begin, request};
use std::net::SocketAddr;

/// What lets a packet pass.
const PASS: u32 = 1;

/// Packets that chance makes, for each program.
const PACKETS: u32 = 4_000;

/// Fields end in this order: the agent before the scene.
struct Stage {
    agent: Agent,
    egress: Program,
    ingress: Program,
    pair: Pair,
}

impl Stage {
    fn new() -> Result<Self> {
        let pair = Pair::new(Members::Server)?;
        let agent = pair.start_agent()?;
        let egress = Program::pinned(pair.node.bpffs(), "meter_egress")?;
        let ingress = Program::pinned(pair.node.bpffs(), "meter_ingress")?;
        Ok(Self {
            pair,
            agent,
            egress,
            ingress,
        })
    }

    /// A segment of a client elsewhere to the endpoint.
    fn segment(&self, port: u16, payload: &[u8]) -> Segment {
        let from = SocketAddr::new(self.pair.client.ipv4(), port);
        Segment::new(from, self.pair.endpoint(), payload)
    }

    /// Gives the endpoint's socket a packet so often.
    fn receive(&self, segment: &Segment, times: u32) -> Result {
        let bytes = segment.bytes();
        let (verdict, after) = self.ingress.run(&bytes, times)?;
        assert_eq!(
            (verdict, &*after),
            (PASS, &bytes[ETHERNET..]),
            "{segment:?}"
        );
        Ok(())
    }

    /// Awaits so many RPCs begun, all open, and so many packets passed over as retransmitted.
    fn expect(&self, started: u64, retransmitted: u64) -> Result {
        settled(&self.agent, "requests in packets", |metrics, balance| {
            let seen = metrics.count("mesh_meter_skipped_total", &[("reason", "retransmitted")]);
            if (balance.started, balance.active, seen) == (started, started, retransmitted) {
                return Ok(());
            }
            Err(format!("{balance:?}, {seen} retransmitted"))
        })
        .map(drop)
    }
}

#[test]
fn a_packet_that_comes_again_is_read_once() -> Result {
    let stage = Stage::new()?;
    let segment = stage.segment(40_000, &begin(&[request(1, "Get"), request(3, "Get")]));
    stage.receive(&segment, 5)?;
    stage.expect(2, 4)
}

#[test]
fn options_in_headers_hide_no_request() -> Result {
    let stage = Stage::new()?;
    let payload = begin(&[request(1, "Get")]);
    let mut started = 0;
    for options in 0..=10 {
        for (ip_options, tcp_options) in [(options, 0), (0, options), (options, options)] {
            started += 1;
            let mut segment = stage.segment(40_000 + started, &payload);
            segment.ip_options = ip_options;
            segment.tcp_options = tcp_options;
            stage.receive(&segment, 1)?;
        }
    }
    stage.expect(u64::from(started), 0)
}

#[test]
fn no_packet_is_stopped_or_changed() -> Result {
    let stage = Stage::new()?;
    let mut random = fastrand::Rng::with_seed(7);
    let v6: [SocketAddr; 2] = [
        "[fd00::1]:40000".parse().unwrap(),
        "[fd00::2]:50051".parse().unwrap(),
    ];
    for number in 0..PACKETS {
        let mut payload = if random.bool() {
            begin(&[request(1, "Get")])
        } else {
            client_begin()
        };
        for _ in 0..random.usize(..4) {
            let at = random.usize(..payload.len());
            payload[at] = random.u8(..);
        }
        let mut segment = if random.bool() {
            stage.segment(random.u16(..), &payload)
        } else {
            Segment::new(v6[0], v6[1], &payload)
        };
        segment.sequence = random.u32(..);
        segment.ip_options = random.u8(..=10);
        segment.tcp_options = random.u8(..=10);
        segment.is_extended = random.bool();
        let mut bytes = segment.bytes();
        for _ in 0..random.usize(..3) {
            // Behind the Ethernet header, of which the kernel itself makes something.
            let at = random.usize(ETHERNET..bytes.len().min(120));
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(60..=bytes.len()));
        for program in [&stage.egress, &stage.ingress] {
            let (verdict, after) = program.run(&bytes, 1 + number % 2)?;
            // A program for egress may say what becomes of the sender's window in its second bit.
            assert_eq!(verdict & PASS, PASS, "{bytes:?}");
            assert_eq!(after, bytes[ETHERNET..]);
        }
    }
    // The meter goes on to count what is in order.
    let before = settled(&stage.agent, "a balance", |_, _| Ok(()))?;
    let started = |metrics: &mesh_tests::metrics::Metrics| {
        metrics.count("mesh_meter_rpcs_total", &[("event", "started")])
    };
    let before = started(&before);
    stage.receive(&stage.segment(39_999, &begin(&[request(1, "Get")])), 1)?;
    settled(&stage.agent, "one more", |metrics, _| {
        let seen = started(metrics);
        if seen == before + 1 {
            return Ok(());
        }
        Err(format!("{before}, then {seen}"))
    })
    .map(drop)
}
