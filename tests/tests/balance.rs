//! Which endpoint a connection gets: shares, locality, termination, affinity.

use mesh_tests::Result;
use mesh_tests::chi_square::is_even;
use mesh_tests::manifest::{Endpoint, documents, locality_policy, node};
use mesh_tests::peer::{Client, Dial, Ending, Exchange, Report};
use mesh_tests::scene::{CLUSTER_IP, PORT, Scene};
use serde_json::json;
use std::time::Duration;

fn dial(count: u64) -> Dial {
    let mut dial = Dial::new([(CLUSTER_IP, PORT).into()])
        .count(count)
        .exchange(Exchange::Banner)
        .ending(Ending::Reset);
    dial.threads = 2;
    dial
}

/// By one thread: two could both be the first, and choose differently.
fn dial_alone(count: u64) -> Dial {
    let mut dial = dial(count);
    dial.threads = 1;
    dial
}

fn shares(report: &Report) -> Vec<u64> {
    (0..3)
        .map(|number| report.answers_of(&Scene::identity(number)))
        .collect()
}

#[test]
fn thirty_thousand_connections_spread_evenly_over_three_endpoints() -> Result {
    let scene = Scene::open()?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    let _agent = scene.node.start_agent(&[])?;

    let report = Client::run(&scene.caller, &dial(30_000))?;
    let shares = shares(&report);
    assert_eq!(shares.iter().sum::<u64>(), 30_000, "{report:?}");
    assert!(is_even(&shares), "{shares:?}");
    assert_eq!(report.foreign_peers, 0);
    Ok(())
}

/// Endpoint 0 is on the caller's node, endpoint 1 in its zone, endpoint 2 elsewhere.
fn spread(scene: &Scene) -> [Endpoint; 3] {
    [
        scene.endpoint(0).at("node-a", "zone-1"),
        scene.endpoint(1).at("node-b", "zone-1"),
        scene.endpoint(2).at("node-c", "zone-2"),
    ]
}

/// A locality rule and the endpoints that it must choose among.
struct Rule {
    case: &'static str,
    /// A field of the Service's spec.
    field: Option<(&'static str, &'static str)>,
    /// A MeshPolicy's locality.
    policy: Option<&'static str>,
    /// Which endpoints are ready.
    ready: [bool; 3],
    /// Which endpoints are chosen.
    chosen: [bool; 3],
}

impl Rule {
    const fn new(case: &'static str, ready: [bool; 3], chosen: [bool; 3]) -> Self {
        Self {
            case,
            field: None,
            policy: None,
            ready,
            chosen,
        }
    }

    const fn field(mut self, name: &'static str, value: &'static str) -> Self {
        self.field = Some((name, value));
        self
    }

    const fn policy(mut self, locality: &'static str) -> Self {
        self.policy = Some(locality);
        self
    }
}

const ALL: [bool; 3] = [true; 3];
const NODE: [bool; 3] = [true, false, false];
const ZONE: [bool; 3] = [true, true, false];
const FAR: [bool; 3] = [false, false, true];
const NO_NODE: [bool; 3] = [false, true, true];
const DISTRIBUTION: &str = "trafficDistribution";

const RULES: [Rule; 12] = [
    Rule::new("nothing said", ALL, ALL),
    Rule::new("Off", ALL, ALL)
        .field(DISTRIBUTION, "PreferSameZone")
        .policy("Off"),
    Rule::new("Failover", ALL, NODE).policy("Failover"),
    Rule::new("Failover, none on the node", NO_NODE, [false, true, false]).policy("Failover"),
    Rule::new("Failover, none in the zone", FAR, FAR).policy("Failover"),
    Rule::new("Strict", ALL, ZONE).policy("Strict"),
    Rule::new("Strict, none in the zone", FAR, [false; 3]).policy("Strict"),
    Rule::new("PreferSameZone", ALL, ZONE).field(DISTRIBUTION, "PreferSameZone"),
    Rule::new("PreferClose, none in the zone", FAR, FAR).field(DISTRIBUTION, "PreferClose"),
    Rule::new("PreferSameNode", ALL, NODE).field(DISTRIBUTION, "PreferSameNode"),
    Rule::new("Local", ALL, NODE).field("internalTrafficPolicy", "Local"),
    Rule::new("Local, none on the node", NO_NODE, [false; 3])
        .field("internalTrafficPolicy", "Local"),
];

#[test]
fn each_locality_rule_chooses_among_the_endpoints_it_names() -> Result {
    let scene = Scene::open()?;
    scene
        .node
        .config()
        .put("node.yaml", &node("node-a", "zone-1"))?;
    let agent = scene.node.start_agent(&[])?;
    for Rule {
        case,
        field,
        policy,
        ready,
        chosen,
    } in RULES
    {
        let service = field.map_or_else(
            || scene.service(),
            |(name, value)| scene.service().with(name, json!(value)),
        );
        let endpoints = spread(&scene).into_iter().zip(ready);
        let slice = scene.slice(endpoints.map(|(endpoint, ready)| endpoint.with_ready(ready)));
        let policy = policy.map(|locality| locality_policy("inventory", locality));
        let text = documents(
            [service.manifest(), slice.manifest()]
                .into_iter()
                .chain(policy),
        );
        agent.apply(scene.node.config(), |config| {
            config.put("inventory.yaml", &text)
        })?;

        let report = Client::run(&scene.caller, &dial(400))?;
        let shares = shares(&report);
        let seen: Vec<_> = shares.iter().map(|&share| share > 0).collect();
        assert_eq!(seen, chosen, "{case}: {shares:?} {report:?}");
        if chosen == [false; 3] {
            assert_eq!(
                report.failed.get("EHOSTUNREACH"),
                Some(&400),
                "{case}: {report:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn hints_keep_connections_in_the_zone_they_name() -> Result {
    let scene = Scene::open()?;
    scene
        .node
        .config()
        .put("node.yaml", &node("node-a", "zone-1"))?;
    let service = scene
        .service()
        .with("trafficDistribution", json!("PreferClose"));
    let [near, zonal, far] = spread(&scene);
    let hinted = [
        near.for_zones(&["zone-1"]),
        zonal.for_zones(&["zone-2"]),
        far.for_zones(&["zone-1"]),
    ];
    scene.configure(&service, hinted)?;
    let _agent = scene.node.start_agent(&[])?;
    let shares = shares(&Client::run(&scene.caller, &dial(400))?);
    assert!(
        shares[0] > 0 && shares[1] == 0 && shares[2] > 0,
        "{shares:?}"
    );
    Ok(())
}

#[test]
fn a_terminating_endpoint_gets_no_new_connection_once_applied() -> Result {
    let scene = Scene::open()?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    let agent = scene.node.start_agent(&[])?;
    let held = Client::start(&scene.caller, &dial(30).hold())?;
    assert_eq!(held.report()?.connected, 30);

    agent.apply(scene.node.config(), |_| {
        let endpoints = [scene.terminating(0), scene.endpoint(1), scene.endpoint(2)];
        scene.configure(&scene.service(), endpoints)
    })?;
    let shares = shares(&Client::run(&scene.caller, &dial(6_000))?);
    assert_eq!(shares[0], 0, "{shares:?}");
    assert!(is_even(&shares[1..]), "{shares:?}");
    // Connections that are open stay open.
    agent.expect("mesh_connections_active", &[], 30)?;
    assert!(held.finish()?.broken.is_empty());
    Ok(())
}

#[test]
fn when_all_endpoints_terminate_they_still_serve() -> Result {
    let scene = Scene::open()?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.terminating(number)),
    )?;
    let _agent = scene.node.start_agent(&[])?;
    let shares = shares(&Client::run(&scene.caller, &dial(3_000))?);
    assert_eq!(shares.iter().sum::<u64>(), 3_000);
    assert!(is_even(&shares), "{shares:?}");
    Ok(())
}

#[test]
fn affinity_holds_and_expires() -> Result {
    let scene = Scene::open()?;
    let service = scene.service().affinity(1);
    scene.configure(&service, (0..3).map(|number| scene.endpoint(number)))?;
    let agent = scene.node.start_agent(&[])?;

    // Chance alone gives 2,000 equal answers once in 3^1999 runs.
    let report = Client::run(&scene.caller, &dial_alone(2_000))?;
    let held = shares(&report);
    assert_eq!(
        held.iter().filter(|&&share| share > 0).count(),
        1,
        "{held:?}"
    );
    assert!(held.contains(&2_000), "{held:?}");

    // Every silence longer than the timeout is a new choice: all alike once in 3^9 runs.
    let mut chosen = held.iter().map(|&share| share > 0).collect::<Vec<_>>();
    for _ in 0..10 {
        // Silence is what is tested, and the kernel's clock cannot be advanced.
        std::thread::sleep(Duration::from_millis(1_100));
        for (seen, share) in chosen
            .iter_mut()
            .zip(shares(&Client::run(&scene.caller, &dial_alone(1))?))
        {
            *seen |= share > 0;
        }
        if chosen.iter().filter(|&&seen| seen).count() > 1 {
            break;
        }
    }
    assert!(
        chosen.iter().filter(|&&seen| seen).count() > 1,
        "it never expired"
    );

    // The endpoint it holds to goes: the entry is ignored.
    let report = Client::run(&scene.caller, &dial_alone(1))?;
    let number = shares(&report)
        .iter()
        .position(|&share| share == 1)
        .expect("one answered");
    agent.apply(scene.node.config(), |_| {
        let others = (0..3)
            .filter(|&other| other != number)
            .map(|other| scene.endpoint(other));
        scene.configure(&service, others)
    })?;
    let after = shares(&Client::run(&scene.caller, &dial_alone(100))?);
    assert_eq!(after[number], 0, "{after:?}");
    assert!(after.contains(&100), "{after:?}");
    Ok(())
}
