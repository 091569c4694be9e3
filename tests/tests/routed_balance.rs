//! Which endpoint each request of a routed connection gets: shares, slow endpoints, new ones, keys, affinity.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::load::{Load, Width};
use mesh_tests::rpc::Implementation::Tonic;
use mesh_tests::witness::{Conduct, Sighting};
use mesh_tests::witnessed::{Setting, Witnessed, ask, calls, endpoint, manifest, service, target};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// Calls at a time on the one connection, where nothing else is said.
const STREAMS: u32 = 64;

fn check_right(scene: &Witnessed, count: usize, streams: u32) -> Result {
    let truth = scene.call(count, streams)?;
    assert_eq!(truth.wrong, 0, "{:?}", truth.first_wrong);
    assert_eq!(truth.total(), count as u64);
    Ok(())
}

#[test]
fn endpoints_in_turn_get_equal_shares_of_one_connection() -> Result {
    let sections = json!({ "loadBalancing": { "algorithm": "RoundRobin" } });
    let mut scene = Setting::new(3, sections).open()?;
    check_right(&scene, 1_000, STREAMS)?;
    let shares = scene.shares()?;
    assert_eq!(shares.iter().sum::<u64>(), 1_000);
    assert!(
        shares.iter().all(|share| (333..=334).contains(share)),
        "{shares:?}"
    );
    Ok(())
}

/// Without a word about load balancing it is Peak EWMA. Servers take far longer than the machine, even a busy one, adds: shares
/// follow what they take.
#[test]
fn by_latency_and_load_equal_endpoints_get_equal_shares_and_a_slow_one_little_but_some() -> Result {
    let sections = json!({ "timeouts": { "request": "60s" } });
    let mut scene = Setting::new(3, sections).open()?;
    for server in &mut scene.servers {
        server.behave(Conduct::slow(100))?;
    }
    check_right(&scene, 1_200, STREAMS)?;
    let shares = scene.shares()?;
    assert!(
        shares.iter().all(|share| (312..=480).contains(share)),
        "33 ± 7 % of 1,200: {shares:?}"
    );

    scene.servers[2].behave(Conduct::slow(1_000))?;
    // Fewer at a time: where calls wait for the processor, ten times as slow is less than that.
    check_right(&scene, 1_200, 24)?;
    let seen = scene.seen()?;
    let slow = seen[2].len();
    assert!(slow < 180, "15 % of 1,200: {slow}");
    // That it gets some in any half minute needs no half minute: it gets some of each few seconds' calls.
    let thirds = shares_of_last(&seen, 3);
    assert!(thirds.iter().all(|share| *share > 0), "{thirds:?}");
    Ok(())
}

/// How many of the calls the last server got, by parts of all calls in order of time.
fn shares_of_last(seen: &[Vec<Sighting>], parts: usize) -> Vec<usize> {
    let mut calls: Vec<(Sighting, bool)> = Vec::new();
    for (number, seen_by) in (1..).zip(seen) {
        calls.extend(seen_by.iter().map(|call| (*call, number == seen.len())));
    }
    calls.sort_unstable();
    let of_last = |part: &[(Sighting, bool)]| part.iter().filter(|(_, is_last)| *is_last).count();
    calls.chunks(calls.len() / parts).map(of_last).collect()
}

/// How often an endpoint is added.
const ADDITIONS: usize = 7;

/// Calls come one after the other, so that their order can be told: of those that are chosen for after the change, the first goes
/// to the new endpoint. One that was chosen for before may arrive after.
///
/// That takes less than 10 ms more than a call takes anyway, unless somebody else has the processor: so it does once in a few
/// times. What waited for a clock of the mesh's own would be late every time.
#[test]
fn a_new_endpoint_gets_the_first_call_after_it_is_applied_on_a_connection_that_was_there() -> Result
{
    let sections = json!({ "timeouts": { "request": "30s" } });
    let mut scene = Setting::new(3, sections).open()?;
    scene.add_server()?;
    let width = Width {
        connections: 1,
        streams: 1,
    };
    let plan = calls(200_000);
    let load = Load::start(Tonic, &scene.callers[0], target(), width, &[plan])?;
    scene.await_call(0)?;
    let routed = [("path", "routed"), ("source_workload", "client0")];
    scene.agent.expect("mesh_connections_active", &routed, 1)?;
    let opened = |agent: &Agent| -> Result<u64> {
        Ok(agent
            .metrics()?
            .count("mesh_connection_opened_total", &routed))
    };
    let opened_before = opened(&scene.agent)?;
    let mut delays_us = Vec::new();
    for _ in 0..ADDITIONS {
        scene.await_call(0)?;
        scene.apply_endpoints(0..4)?;
        let applied_us = applied_us(&scene.agent)?;
        let seen = scene.await_call(3)?;
        let first_us = seen[3][0].at_us;
        let is_between = |sighting: &&Sighting| (applied_us..first_us).contains(&sighting.at_us);
        let overtaken_by = seen[..3].iter().flatten().filter(is_between).count();
        assert!(overtaken_by <= 1, "{overtaken_by} calls went elsewhere");
        let delay_us = first_us.saturating_sub(applied_us);
        delays_us.push(delay_us.saturating_sub(longest_gap_us(&seen[..3], first_us)));
        scene.apply_endpoints(0..3)?;
    }
    scene.agent.expect("mesh_connections_active", &routed, 1)?;
    assert_eq!(opened(&scene.agent)?, opened_before);
    drop(load);
    let least_us = delays_us.iter().min().expect("there were some");
    assert!(*least_us < 10_000, "{delays_us:?}");
    Ok(())
}

/// The longest time between two calls that came before this one.
fn longest_gap_us(seen: &[Vec<Sighting>], before_us: u64) -> u64 {
    let times = seen.iter().flatten().map(|sighting| sighting.at_us);
    let mut times: Vec<u64> = times.filter(|time| *time < before_us).collect();
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(0)
}

/// When the agent had applied its latest configuration, in microseconds since 1970: its log says so.
fn applied_us(agent: &Agent) -> Result<u64> {
    let generation = format!("generation={} ", agent.generation()?);
    let log = agent.log();
    let mut lines = log.lines();
    let line = lines.find(|line| line.contains("taken in") && line.contains(&generation));
    let time = line.and_then(|line| line.split(['T', 'Z']).nth(1));
    let time = time.and_then(microseconds_of_day);
    let time = time.unwrap_or_else(|| panic!("{generation}: {log}"));
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let now_us = u64::try_from(now.as_micros()).expect("before the year 500,000");
    // It was within the last day, maybe before midnight.
    Ok(now_us - (now_us % DAY_US + DAY_US - time) % DAY_US)
}

const DAY_US: u64 = 86_400_000_000;

/// Reads `12:34:56.123456`.
fn microseconds_of_day(time: &str) -> Option<u64> {
    let (time, fraction) = time.split_once('.')?;
    let mut parts = time.split(':').map(|part| part.parse::<u64>().ok());
    let [hours, minutes, seconds] = [parts.next()??, parts.next()??, parts.next()??];
    let fraction: u64 = fraction.parse().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction)
}

/// Who answers each of these users.
fn answers(scene: &Witnessed, users: &[String]) -> Result<BTreeMap<String, String>> {
    let mut answers = BTreeMap::new();
    // Connections make no difference.
    for _ in 0..2 {
        let mut asker = scene.asker(0)?;
        for user in users {
            let answer = ask(&mut asker, &[("x-user", user)])?;
            assert_eq!(answer.status, 0, "{answer:?}");
            let first = answers
                .entry(user.clone())
                .or_insert_with(|| answer.identity.clone());
            assert_eq!(*first, answer.identity, "{user} always goes to one server");
        }
    }
    Ok(answers)
}

#[test]
fn a_header_s_value_keeps_its_endpoint_and_moves_only_if_that_goes() -> Result {
    let sections = json!({ "loadBalancing": {
        "algorithm": "RingHash", "hashOn": { "header": "x-user" },
    } });
    let scene = Setting::new(3, sections).open()?;
    let users: Vec<String> = (0..60).map(|number| format!("user-{number}")).collect();
    let before = answers(&scene, &users)?;
    let servers: BTreeSet<&String> = before.values().collect();
    assert_eq!(servers.len(), 3, "{before:?}");

    scene.apply_endpoints(0..2)?;
    let after = answers(&scene, &users)?;
    for (user, server) in &before {
        if server == "server-2" {
            assert_ne!(after[user], *server);
        } else {
            assert_eq!(after[user], *server, "{user}");
        }
    }
    Ok(())
}

/// Who answers each caller: one server for all of its connections.
fn answers_of_callers(scene: &Witnessed) -> Result<Vec<String>> {
    let mut servers = Vec::new();
    for caller in 0..scene.callers.len() {
        let mut own = BTreeSet::new();
        for _ in 0..2 {
            let mut asker = scene.asker(caller)?;
            for _ in 0..10 {
                own.insert(ask(&mut asker, &[])?.identity);
            }
        }
        assert_eq!(own.len(), 1, "caller {caller}: {own:?}");
        servers.extend(own);
    }
    Ok(servers)
}

/// The addresses of pods are always the same here, so what they hash to is no chance.
#[test]
fn a_source_keeps_its_endpoint_and_sources_are_told_apart() -> Result {
    let sections = json!({ "loadBalancing": {
        "algorithm": "RingHash", "hashOn": { "source": true },
    } });
    let scene = Setting::new(3, sections).callers(6).open()?;
    let servers = answers_of_callers(&scene)?;
    let distinct: BTreeSet<&String> = servers.iter().collect();
    assert!(distinct.len() > 1, "{servers:?}");
    Ok(())
}

/// As on the direct path: `affinity_holds_and_expires`. Chance alone gives a caller one server once in 3^19 runs.
#[test]
fn client_ip_affinity_keeps_a_caller_s_requests_at_one_endpoint_while_it_is_there() -> Result {
    let sections = json!({ "loadBalancing": { "algorithm": "RoundRobin" } });
    let sticky = service().affinity(600);
    let setting = Setting::new(3, sections).callers(2).service(sticky.clone());
    let scene = setting.open()?;
    let before = answers_of_callers(&scene)?;

    let held = (0..3).find(|number| before[0] == format!("server-{number}"));
    let held = held.expect("a server answered");
    let others = (0..3).filter(|number| *number != held);
    let endpoints = others.map(|number| endpoint(&scene.pods[number]));
    scene.apply("load.yaml", &manifest(&sticky, endpoints))?;
    let after = answers_of_callers(&scene)?;

    assert_ne!(after[0], before[0], "its endpoint is gone");
    if before[1] != before[0] {
        assert_eq!(after[1], before[1], "its endpoint is still there");
    }
    Ok(())
}
