//! One end of a connection is metered here, or the link is bad, or the connection is older than the meter.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::load::{self, Load, Plan, Truth, Width};
use mesh_tests::metered::{
    Counts, OTHER, Side, UNKNOWN_STATUS, counts, expect_counts, expected, settled,
};
use mesh_tests::metrics::Metrics;
use mesh_tests::pair::{Members, PORT, Pair, TARGET_PORT};
use mesh_tests::relay::{Damage, Link, Relay, SECOND};
use mesh_tests::rpc::Implementation::{self, GrpcJs, Grpcio, Tonic};
use mesh_tests::stage::anywhere;
use std::net::SocketAddr;

const WIDTH: Width = Width {
    connections: 4,
    streams: 16,
};

/// Calls over the bad link, for each way of metering.
const CALLS: usize = 6_000;

#[test]
fn calls_to_a_remote_server_are_counted_exactly_at_the_client() -> Result {
    both_directions_at_one_end(Members::Client, Side::Client)
}

#[test]
fn calls_of_a_remote_client_are_counted_exactly_at_the_server() -> Result {
    both_directions_at_one_end(Members::Server, Side::Server)
}

fn both_directions_at_one_end(members: Members, side: Side) -> Result {
    let pair = Pair::new(members)?;
    let server = load::serve(Tonic, &pair.server, anywhere())?;
    let agent = pair.start_agent()?;
    let mut all = Truth::default();
    for (seed, client) in (0..).zip([Tonic, Grpcio, GrpcJs]) {
        let plan = Plan::mixed(seed, 2_000);
        let truth = load::run(client, &pair.client, pair.target(), WIDTH, &plan)?;
        assert_eq!(truth.wrong, 0, "{client:?}: {:?}", truth.first_wrong);
        all.merge(&truth);
        expect_counts(&agent, side, &[], &expected(&all))?;
    }
    drop(server);
    let _grpcio = load::serve(Grpcio, &pair.server, anywhere())?;
    let plan = Plan::mixed(9, 2_000);
    let truth = load::run(Tonic, &pair.client, pair.target(), WIDTH, &plan)?;
    assert_eq!(truth.wrong, 0, "{:?}", truth.first_wrong);
    all.merge(&truth);
    let metrics = expect_counts(&agent, side, &[], &expected(&all))?;
    let other = [Side::Client, Side::Server]
        .into_iter()
        .find(|&other| other != side);
    let other = other.expect("there are two");
    assert!(
        counts(&metrics, other, &[]).is_empty(),
        "the other end's series are its own node's"
    );
    Ok(())
}

/// Calls of at most a KiB each way, a few at a time: what is under way behind a lost packet is little.
fn moderate() -> Plan {
    let mut plan = Plan::mixed(11, CALLS);
    for call in &mut plan.calls {
        call.request_bytes = call.request_bytes.min(1_024);
        call.reply_bytes = call.reply_bytes.min(1_024);
        call.replies = call.replies.min(2);
    }
    plan
}

const FEW: Width = Width {
    connections: 4,
    streams: 4,
};

#[test]
fn a_bad_link_to_a_remote_server_hides_few_calls_and_makes_none_wrong() -> Result {
    let (seen, wanted) = over_a_bad_link(Members::Client, &moderate(), FEW, 4)?;
    assert_nearly_all(&seen[0], &wanted);
    Ok(())
}

#[test]
fn a_bad_link_from_a_remote_client_hides_few_calls_and_makes_none_wrong() -> Result {
    let (seen, wanted) = over_a_bad_link(Members::Server, &moderate(), FEW, 4)?;
    assert_nearly_all(&seen[1], &wanted);
    Ok(())
}

/// Seeds of plans and links that carry much.
const SEEDS: [u64; 3] = [4, 5, 6];

/// Mixed calls, of which one in eight has messages of some hundred KiB.
fn bulk(seed: u64) -> Plan {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut plan = Plan::mixed(seed, CALLS / 4);
    for call in plan.calls.iter_mut().step_by(8) {
        call.request_bytes = random.u32(100_000..400_000);
        call.reply_bytes = random.u32(100_000..400_000);
        call.replies = call.replies.min(2);
    }
    plan
}

#[test]
fn a_bad_link_that_carries_much_makes_no_call_wrong() -> Result {
    for seed in SEEDS {
        for (members, side) in [(Members::Client, 0), (Members::Server, 1)] {
            let (seen, wanted) = over_a_bad_link(members, &bulk(seed), WIDTH, seed)?;
            assert_nearly_all(&seen[side], &wanted);
        }
    }
    Ok(())
}

#[test]
fn a_preface_that_comes_late_hides_no_call() -> Result {
    const ONE: Width = Width {
        connections: 1,
        streams: 4,
    };
    let (damage, seen, wanted) = over_a_link(
        Members::Server,
        Link::LatePreface,
        &Plan::mixed(3, 100),
        ONE,
    )?;
    assert_eq!(damage.reordered, 1, "{damage:?}");
    assert_eq!(seen[1], wanted);
    Ok(())
}

#[test]
fn a_bad_link_between_metered_ends_hides_no_call() -> Result {
    let plan = Plan::mixed(11, CALLS);
    let (seen, wanted) = over_a_bad_link(Members::Both, &plan, WIDTH, 4)?;
    // Each end meters what it sends, before the link.
    assert_eq!(seen, [wanted.clone(), wanted]);
    Ok(())
}

/// Makes calls over a link that loses, doubles and reorders; gives what the client's and the server's series say, and what
/// they should.
fn over_a_bad_link(
    members: Members,
    plan: &Plan,
    width: Width,
    seed: u64,
) -> Result<([Counts; 2], Counts)> {
    let (damage, seen, wanted) = over_a_link(members, Link::Bad(seed), plan, width)?;
    assert!(
        damage.lost > 50 && damage.doubled > 20 && damage.reordered > 50,
        "{damage:?}"
    );
    Ok((seen, wanted))
}

fn over_a_link(
    members: Members,
    link: Link,
    plan: &Plan,
    width: Width,
) -> Result<(Damage, [Counts; 2], Counts)> {
    let pair = Pair::new(members)?;
    let relay = Relay::start(&pair.client, &pair.server, link)?;
    pair.configure(SECOND.into())?;
    let _server = load::serve(Tonic, &pair.server, anywhere())?;
    let agent = pair.start_agent()?;
    let target = match members {
        Members::Server => (SECOND, TARGET_PORT).into(),
        Members::Both | Members::Client => SocketAddr::new(pair.target().ip(), PORT),
    };
    let truth = load::run(Tonic, &pair.client, target, width, plan)?;
    assert_eq!(truth.wrong, 0, "{:?}", truth.first_wrong);
    let metrics = every_call_has_an_end(&agent)?;
    let damage = relay.stop()?;
    let seen = [Side::Client, Side::Server].map(|side| counts(&metrics, side, &[]));
    Ok((damage, seen, expected(&truth)))
}

/// 99 of 100 calls keep their method and status.
fn assert_nearly_all(seen: &Counts, wanted: &Counts) {
    let right = right_calls(seen, wanted);
    let made: u64 = wanted.values().sum();
    assert!(
        right * 100 >= made * 99,
        "{right} of {made}: {seen:?}; made {wanted:?}"
    );
}

/// Awaits that the connections have ended, and all calls with them.
fn every_call_has_an_end(agent: &Agent) -> Result<Metrics> {
    settled(agent, "no call is open", |metrics, balance| {
        let directions = metrics.count("mesh_meter_connections", &[]);
        if (balance.active, directions) == (0, 0) && balance.started > 0 {
            return Ok(());
        }
        Err(format!("{directions} directions are metered"))
    })
}

/// Calls whose method and status are known; none may be known wrongly.
fn right_calls(seen: &Counts, wanted: &Counts) -> u64 {
    let mut right = 0;
    for (call, &count) in seen {
        let (method, status) = call;
        let is_known = status != UNKNOWN_STATUS && (method != OTHER || wanted.contains_key(call));
        if !is_known {
            continue;
        }
        let made = wanted.get(call).copied().unwrap_or(0);
        assert!(
            count <= made,
            "{call:?}: {count}, but {made} were made: {seen:?}"
        );
        right += count;
    }
    right
}

#[test]
fn of_a_tonic_connection_older_than_the_agent_what_is_known_is_right() -> Result {
    older_than_the_agent(Tonic, Tonic)
}

#[test]
fn of_a_grpcio_connection_older_than_the_agent_what_is_known_is_right() -> Result {
    older_than_the_agent(Grpcio, Grpcio)
}

fn older_than_the_agent(client: Implementation, server: Implementation) -> Result {
    let pair = Pair::new(Members::Both)?;
    let _server = load::serve(server, &pair.server, anywhere())?;
    // A cluster address works only with an agent.
    let plans = [
        Plan::mixed(1, 300),
        Plan::mixed(2, 1_000),
        // Never begun: the connections stay until then.
        Plan::default(),
    ];
    let mut load = Load::start(client, &pair.client, pair.endpoint(), WIDTH, &plans)?;
    load.truth()?;
    let agent = pair.start_agent()?;
    load.go_on()?;
    let truth = load.truth()?;
    assert_eq!(truth.wrong, 0, "{:?}", truth.first_wrong);
    let total = truth.total();
    let metrics = settled(
        &agent,
        "nearly every call is counted",
        |metrics, balance| {
            let seen: u64 = counts(metrics, Side::Client, &[]).values().sum();
            if seen * 100 >= total * 95 && seen <= total && balance.active == 0 {
                return Ok(());
            }
            Err(format!(
                "{seen} of {total}: {:?}",
                counts(metrics, Side::Client, &[])
            ))
        },
    )?;
    let wanted = expected(&truth);
    for side in [Side::Client, Side::Server] {
        let seen = counts(&metrics, side, &[]);
        right_calls_of_labels(&seen, &wanted);
    }
    let partial = metrics.count("mesh_meter_connections", &[("state", "partial")]);
    assert!(partial > 0, "directions that were met halfway say so");
    Ok(())
}

/// Of calls with a label and a status none may be wrong; the rest says that it is not known.
fn right_calls_of_labels(seen: &Counts, wanted: &Counts) {
    for ((method, status), &count) in seen {
        let made: u64 = wanted
            .iter()
            .filter(|((other, ended), _)| {
                (method == OTHER || method == other)
                    && (status == UNKNOWN_STATUS || status == ended)
            })
            .map(|(_, count)| count)
            .sum();
        assert!(
            count <= made,
            "{method} {status}: {count}, but {made} were made: {seen:?}"
        );
    }
}
