//! Which endpoint a connection gets: shares, locality, termination, affinity.

use mesh_tests::Result;
use mesh_tests::chi_square::is_even;
use mesh_tests::manifest::{Endpoint, Service, documents, locality_policy, node};
use mesh_tests::peer::{Client, Dial, Ending, Exchange, Report};
use mesh_tests::shop::{CLUSTER_IP, PORT, Shop};
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

fn shares(report: &Report) -> Vec<u64> {
    (0..3)
        .map(|number| report.answers_of(&Shop::identity(number)))
        .collect()
}

#[test]
fn thirty_thousand_connections_spread_evenly_over_three_endpoints() -> Result {
    let shop = Shop::open()?;
    shop.configure(&shop.service(), (0..3).map(|number| shop.endpoint(number)))?;
    let _agent = shop.node.start_agent(&[])?;

    let report = Client::run(&shop.caller, &dial(30_000))?;
    let shares = shares(&report);
    assert_eq!(shares.iter().sum::<u64>(), 30_000, "{report:?}");
    assert!(is_even(&shares), "{shares:?}");
    assert_eq!(report.foreign_peers, 0);
    Ok(())
}

/// Endpoint 0 is on the caller's node, endpoint 1 in its zone, endpoint 2 elsewhere.
fn spread(shop: &Shop) -> [Endpoint; 3] {
    [
        shop.endpoint(0).at("node-a", "zone-1"),
        shop.endpoint(1).at("node-b", "zone-1"),
        shop.endpoint(2).at("node-c", "zone-2"),
    ]
}

#[test]
fn each_locality_rule_chooses_among_the_endpoints_it_names() -> Result {
    let shop = Shop::open()?;
    shop.node
        .config()
        .put("node.yaml", &node("node-a", "zone-1"))?;
    let agent = shop.node.start_agent(&[])?;
    let plain = shop.service();
    let local = shop.service().with("internalTrafficPolicy", json!("Local"));
    let distributed = |value: &str| shop.service().with("trafficDistribution", json!(value));
    let zone_preferred = distributed("PreferSameZone");
    let close_preferred = distributed("PreferClose");
    let node_preferred = distributed("PreferSameNode");
    let cases: [(&str, &Service, Option<&str>, [bool; 3], &[usize]); 11] = [
        ("nothing said", &plain, None, [true, true, true], &[0, 1, 2]),
        (
            "Off",
            &zone_preferred,
            Some("Off"),
            [true, true, true],
            &[0, 1, 2],
        ),
        (
            "Failover",
            &plain,
            Some("Failover"),
            [true, true, true],
            &[0],
        ),
        (
            "Failover without the node",
            &plain,
            Some("Failover"),
            [false, true, true],
            &[1],
        ),
        (
            "Failover without the zone",
            &plain,
            Some("Failover"),
            [false, false, true],
            &[2],
        ),
        (
            "Strict",
            &plain,
            Some("Strict"),
            [true, true, true],
            &[0, 1],
        ),
        (
            "Strict without the zone",
            &plain,
            Some("Strict"),
            [false, false, true],
            &[],
        ),
        (
            "PreferSameZone",
            &zone_preferred,
            None,
            [true, true, true],
            &[0, 1],
        ),
        (
            "PreferClose without the zone",
            &close_preferred,
            None,
            [false, false, true],
            &[2],
        ),
        (
            "PreferSameNode",
            &node_preferred,
            None,
            [true, true, true],
            &[0],
        ),
        (
            "internalTrafficPolicy: Local",
            &local,
            None,
            [true, true, true],
            &[0],
        ),
    ];
    for (case, service, policy, ready, expected) in cases {
        let endpoints = spread(&shop)
            .into_iter()
            .zip(0..3)
            .map(|(endpoint, number)| {
                if ready[number] {
                    endpoint
                } else {
                    endpoint.with_ready(false)
                }
            });
        agent.apply(shop.node.config(), |config| {
            let policy = policy.map(|locality| locality_policy("inventory", locality));
            config.put(
                "inventory.yaml",
                &documents(
                    [service.manifest(), shop.slice(endpoints).manifest()]
                        .into_iter()
                        .chain(policy),
                ),
            )
        })?;
        let report = Client::run(&shop.caller, &dial(400))?;
        let shares = shares(&report);
        for (number, &share) in shares.iter().enumerate() {
            assert_eq!(
                share > 0,
                expected.contains(&number),
                "{case}: {shares:?} {report:?}"
            );
        }
        if expected.is_empty() {
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
    let shop = Shop::open()?;
    shop.node
        .config()
        .put("node.yaml", &node("node-a", "zone-1"))?;
    let service = shop
        .service()
        .with("trafficDistribution", json!("PreferClose"));
    let [near, zonal, far] = spread(&shop);
    let hinted = [
        near.for_zones(&["zone-1"]),
        zonal.for_zones(&["zone-2"]),
        far.for_zones(&["zone-1"]),
    ];
    shop.configure(&service, hinted)?;
    let _agent = shop.node.start_agent(&[])?;
    let shares = shares(&Client::run(&shop.caller, &dial(400))?);
    assert!(
        shares[0] > 0 && shares[1] == 0 && shares[2] > 0,
        "{shares:?}"
    );
    Ok(())
}

#[test]
fn a_terminating_endpoint_gets_no_new_connection_once_applied() -> Result {
    let shop = Shop::open()?;
    shop.configure(&shop.service(), (0..3).map(|number| shop.endpoint(number)))?;
    let agent = shop.node.start_agent(&[])?;
    let held = Client::start(&shop.caller, &dial(30).hold())?;
    assert_eq!(held.report()?.connected, 30);

    agent.apply(shop.node.config(), |_| {
        let endpoints = [shop.terminating(0), shop.endpoint(1), shop.endpoint(2)];
        shop.configure(&shop.service(), endpoints)
    })?;
    let shares = shares(&Client::run(&shop.caller, &dial(6_000))?);
    assert_eq!(shares[0], 0, "{shares:?}");
    assert!(is_even(&shares[1..]), "{shares:?}");
    let active = agent.metrics()?.count("mesh_connections_active", &[]);
    assert_eq!(active, 30, "connections that are open stay open");
    assert!(held.finish()?.broken.is_empty());
    Ok(())
}

#[test]
fn when_all_endpoints_terminate_they_still_serve() -> Result {
    let shop = Shop::open()?;
    shop.configure(
        &shop.service(),
        (0..3).map(|number| shop.terminating(number)),
    )?;
    let _agent = shop.node.start_agent(&[])?;
    let shares = shares(&Client::run(&shop.caller, &dial(3_000))?);
    assert_eq!(shares.iter().sum::<u64>(), 3_000);
    assert!(is_even(&shares), "{shares:?}");
    Ok(())
}

#[test]
fn affinity_holds_and_expires() -> Result {
    let shop = Shop::open()?;
    let service = shop.service().affinity(1);
    shop.configure(&service, (0..3).map(|number| shop.endpoint(number)))?;
    let agent = shop.node.start_agent(&[])?;

    // Chance alone gives 2,000 equal answers once in 3^1999 runs.
    let report = Client::run(&shop.caller, &dial(2_000))?;
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
            .zip(shares(&Client::run(&shop.caller, &dial(1))?))
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
    let report = Client::run(&shop.caller, &dial(1))?;
    let number = shares(&report)
        .iter()
        .position(|&share| share == 1)
        .expect("one answered");
    agent.apply(shop.node.config(), |_| {
        let others = (0..3)
            .filter(|&other| other != number)
            .map(|other| shop.endpoint(other));
        shop.configure(&service, others)
    })?;
    let after = shares(&Client::run(&shop.caller, &dial(100))?);
    assert_eq!(after[number], 0, "{after:?}");
    assert!(after.contains(&100), "{after:?}");
    Ok(())
}
