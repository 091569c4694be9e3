//! Carries steps out on a simulated kernel, one by one, and lets a reader look at it after each.

mod routing;
mod simulated;

use self::simulated::Kernel;
use super::{Shortage, Tables};
use crate::kernel::Capacities;
use crate::kernel::quarantine::GRACE;
use crate::kernel::steps::{EndpointState, Step};
use crate::model::{AppProtocol, ObjectName};
use crate::plan::{
    EndpointPlan, FamilyPlan, PortPlan, Routing, Rule, Selection, ServicePlan, Standing,
};
use mesh_common::address::SocketAddress;
use mesh_common::names;
use mesh_common::socket::Protocol;
use mesh_common::table::TableReference;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

const CAPACITIES: Capacities = Capacities {
    services: 8,
    endpoints: 32,
    connections: 16,
    streams: 16,
    rpcs: 16,
    host_sources: 4,
    namespaces: 4,
};

fn name(index: u8) -> ObjectName {
    ObjectName {
        namespace: "shop".into(),
        name: format!("service-{index}").into(),
    }
}

fn vip(index: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 96, 0, index), 80))
}

fn pod(index: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, index), 8080))
}

/// A service whose endpoints have these weights (zero: not ready), by pod.
fn plan(index: u8, headless: bool, affinity: u32, weights: &BTreeMap<u8, u32>) -> ServicePlan {
    let endpoints = weights
        .iter()
        .map(|(index, weight)| EndpointPlan {
            address: pod(*index),
            workload: Some(ObjectName {
                namespace: "shop".into(),
                name: format!("workload-{}", index % 3).into(),
            }),
            pod: None,
            node: None,
            zone: None,
            standing: match weight {
                0 => Standing::NotReady,
                weight => Standing::InUse { weight: *weight },
            },
        })
        .collect();
    let ips: Vec<IpAddr> = if headless {
        vec![]
    } else {
        vec![vip(index).ip()]
    };
    ServicePlan {
        name: name(index),
        ports: vec![PortPlan {
            port: 80,
            name: None,
            protocol: None,
            affinity_timeout_s: NonZeroU32::new(affinity),
            routing: Routing::default(),
            families: vec![FamilyPlan {
                ipv6: false,
                cluster_ips: ips,
                endpoints,
                selection: Selection {
                    rule: Rule::Everywhere,
                    reach: None,
                    is_draining: false,
                },
            }],
        }],
    }
}

fn apply(tables: &mut Tables, kernel: &mut Kernel, plan: &ServicePlan, now: Instant) -> usize {
    let steps = tables.change(&plan.name, Some(plan), now).unwrap();
    for step in &steps {
        kernel.carry_out(step);
        kernel.look();
    }
    steps.len()
}

fn settle(tables: &mut Tables, now: Instant) {
    tables.settle(now);
    let rested = tables.rested_services(now);
    tables.free_services(rested);
}

#[test]
fn an_unchanged_service_costs_no_write_and_a_changed_endpoint_only_its_own() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    let before = plan(1, false, 0, &BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
    let after = plan(1, false, 0, &BTreeMap::from([(1, 1), (2, 0), (3, 1)]));

    apply(&mut tables, &mut kernel, &before, now);

    assert_eq!(apply(&mut tables, &mut kernel, &before, now), 0);
    // Rows, the flag of the one endpoint, publication.
    assert_eq!(apply(&mut tables, &mut kernel, &after, now), 3);
}

#[test]
fn an_affinity_to_a_leaving_endpoint_ends_no_later_than_the_new_table_begins() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    apply(
        &mut tables,
        &mut kernel,
        &plan(1, false, 60, &BTreeMap::from([(1, 1), (2, 1)])),
        now,
    );
    let leaving = kernel.endpoint_addresses[&pod(2).into()];

    let after = plan(1, false, 60, &BTreeMap::from([(1, 1)]));
    let steps = tables.change(&after.name, Some(&after), now).unwrap();

    let position = |wanted: fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
    let published = position(|step| matches!(step, Step::Publish { .. }));
    assert!(
        steps[..published].contains(&Step::State {
            id: leaving.endpoint(),
            state: EndpointState {
                is_usable: false,
                protocol: Protocol::Unknown,
            },
        }),
        "{steps:?}"
    );
}

#[test]
fn removal_takes_addresses_away_before_the_table() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    apply(
        &mut tables,
        &mut kernel,
        &plan(1, false, 0, &BTreeMap::from([(1, 1)])),
        now,
    );

    let steps = tables.change(&name(1), None, now).unwrap();

    let withdrawn = steps
        .iter()
        .position(|step| matches!(step, Step::Publish { .. }))
        .unwrap();
    let is_address = |step: &Step| matches!(step, Step::Address(_));
    assert_eq!(steps.iter().filter(|step| is_address(step)).count(), 3);
    assert!(steps[..withdrawn].iter().all(is_address));
}

#[test]
fn a_pod_of_two_services_is_attributed_to_the_headless_one() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    let pods = BTreeMap::from([(1, 1)]);
    apply(&mut tables, &mut kernel, &plan(1, false, 0, &pods), now);
    let ordinary = kernel.endpoint_addresses[&pod(1).into()];

    apply(&mut tables, &mut kernel, &plan(2, true, 0, &pods), now);
    let headless = kernel.endpoint_addresses[&pod(1).into()];
    for step in tables.change(&name(2), None, now).unwrap() {
        kernel.carry_out(&step);
        kernel.look();
    }

    assert_ne!(ordinary, headless);
    assert_eq!(kernel.endpoint_addresses[&pod(1).into()], ordinary);
}

#[test]
fn a_service_id_is_not_used_again_before_its_methods_are_forgotten() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    let pods = BTreeMap::from([(1, 1)]);
    apply(&mut tables, &mut kernel, &plan(1, false, 0, &pods), now);
    let first = kernel.frontends[&vip(1).into()];
    for step in tables.change(&name(1), None, now).unwrap() {
        kernel.carry_out(&step);
    }

    assert!(tables.rested_services(now + GRACE / 2).is_empty());
    let later = now + GRACE;
    tables.settle(later);
    assert_eq!(tables.rested_services(later), [first]);
    apply(&mut tables, &mut kernel, &plan(2, false, 0, &pods), later);
    assert_ne!(kernel.frontends[&vip(2).into()], first);
    tables.free_services(vec![first]);
    apply(&mut tables, &mut kernel, &plan(3, false, 0, &pods), later);
    assert_eq!(kernel.frontends[&vip(3).into()], first);
}

#[test]
fn an_address_of_two_services_says_so_until_one_goes() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    let pods = BTreeMap::from([(1, 1)]);
    let mut two_ports = plan(1, false, 0, &pods);
    let mut second = two_ports.ports[0].clone();
    second.port = 81;
    two_ports.ports.push(second);
    apply(&mut tables, &mut kernel, &two_ports, now);
    let is_shared = |kernel: &Kernel| kernel.endpoint_addresses[&pod(1).into()].is_shared();

    assert!(!is_shared(&kernel), "two ports of one Service");
    for (other, headless) in [(2, false), (3, true)] {
        apply(
            &mut tables,
            &mut kernel,
            &plan(other, headless, 0, &pods),
            now,
        );
        assert!(is_shared(&kernel), "service {other} too");
        for step in tables.change(&name(other), None, now).unwrap() {
            kernel.carry_out(&step);
        }
        assert!(!is_shared(&kernel), "service {other} is gone");
    }
}

#[test]
fn a_changed_protocol_reaches_its_endpoints_in_place() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    let mut plan = plan(1, false, 0, &BTreeMap::from([(1, 1), (2, 0)]));
    apply(&mut tables, &mut kernel, &plan, now);
    let before = kernel.endpoints.clone();

    for (declared, expected) in [
        (Some(AppProtocol::Grpc), Protocol::Http2),
        (Some(AppProtocol::Tcp), Protocol::Other),
        (None, Protocol::Unknown),
    ] {
        plan.ports[0].protocol = declared;
        // One word per endpoint, no table.
        assert_eq!(apply(&mut tables, &mut kernel, &plan, now), 2);
        for (id, record) in &kernel.endpoints {
            assert_eq!(record.protocol, expected as u32);
            assert_eq!(record.usable, before[id].usable);
        }
    }
}

#[test]
fn a_service_without_room_keeps_what_it_has_and_takes_nothing() {
    let now = Instant::now();
    let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
    let small = BTreeMap::from([(1, 1)]);
    apply(&mut tables, &mut kernel, &plan(1, false, 0, &small), now);
    let used = tables.used();

    let large = plan(1, false, 0, &(1..=40).map(|pod| (pod, 1)).collect());
    let heavy = plan(1, false, 0, &BTreeMap::from([(1, 100_000)]));

    let shortage = tables.change(&large.name, Some(&large), now).unwrap_err();
    assert_eq!(
        shortage,
        Shortage {
            map: names::ENDPOINT_ADDRESSES,
            needed: 39,
            room: 31
        }
    );
    let shortage = tables.change(&heavy.name, Some(&heavy), now).unwrap_err();
    assert_eq!(shortage.map, names::TABLE_ROWS);
    assert_eq!(tables.used(), used);
    assert_eq!(
        apply(&mut tables, &mut kernel, &plan(1, false, 0, &small), now),
        0
    );
}

#[test]
fn a_cluster_ip_that_moves_belongs_to_the_new_service_whatever_the_order() {
    for taker_first in [true, false] {
        let now = Instant::now();
        let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
        apply(
            &mut tables,
            &mut kernel,
            &plan(1, false, 0, &BTreeMap::from([(1, 1)])),
            now,
        );
        let mut taker = plan(2, false, 0, &BTreeMap::from([(2, 1)]));
        taker.ports[0].families[0].cluster_ips = vec![vip(1).ip()];
        let changes = [(name(2), Some(&taker)), (name(1), None)];
        let order: Vec<_> = if taker_first { vec![0, 1] } else { vec![1, 0] };

        for index in order {
            let (name, plan) = &changes[index];
            for step in tables.change(name, *plan, now).unwrap() {
                kernel.carry_out(&step);
                kernel.look();
            }
        }

        let (reached, _) = kernel.reach(vip(1).into()).unwrap();
        assert_eq!(reached, BTreeMap::from([(pod(2).into(), 1)]));
    }
}

#[derive(Clone, Debug)]
struct Change {
    service: u8,
    headless: bool,
    affinity: u32,
    /// `None`: the service is removed.
    weights: Option<BTreeMap<u8, u32>>,
    pause_ms: u64,
}

fn change() -> impl Strategy<Value = Change> {
    let weights =
        prop::option::weighted(0.8, prop::collection::btree_map(0_u8..12, 0_u32..4, 0..6));
    (0_u8..6, any::<bool>(), 0_u32..3, weights, 0_u64..1_500).prop_map(
        |(service, headless, affinity, weights, pause_ms)| Change {
            service,
            headless,
            affinity,
            weights,
            pause_ms,
        },
    )
}

proptest! {
    #[test]
    fn every_reader_sees_whole_tables_at_every_step(changes in prop::collection::vec(change(), 1..60)) {
        let mut now = Instant::now();
        let (mut tables, mut kernel) = (Tables::new(CAPACITIES), Kernel::default());
        let mut in_force: BTreeMap<u8, Change> = BTreeMap::new();

        for change in changes {
            now += Duration::from_millis(change.pause_ms);
            settle(&mut tables, now);
            let wanted = change
                .weights
                .as_ref()
                .map(|weights| plan(change.service, change.headless, change.affinity, weights));
            match tables.change(&name(change.service), wanted.as_ref(), now) {
                Ok(steps) => {
                    for step in steps {
                        kernel.carry_out(&step);
                        kernel.look();
                    }
                    in_force.remove(&change.service);
                    if change.weights.is_some() {
                        in_force.insert(change.service, change);
                    }
                }
                Err(_) => prop_assert!(change.weights.is_some(), "a removal needs no room"),
            }
            for (service, change) in in_force.iter().filter(|(_, change)| !change.headless) {
                let weights = change.weights.iter().flatten();
                let expected: BTreeMap<_, _> = weights
                    .filter(|(_, weight)| **weight > 0)
                    .map(|(index, weight)| (SocketAddress::from(pod(*index)), *weight))
                    .collect();
                let reached = kernel.reach(vip(*service).into());
                prop_assert_eq!(reached, Some((expected, change.affinity)));
            }
        }

        for service in in_force.into_keys() {
            for step in tables.change(&name(service), None, now).unwrap() {
                kernel.carry_out(&step);
                kernel.look();
            }
        }
        settle(&mut tables, now + GRACE);
        prop_assert!(tables.used().iter().all(|(_, used)| *used == 0), "{:?}", tables.used());
        prop_assert!(kernel.frontends.is_empty() && kernel.endpoint_addresses.is_empty());
        prop_assert!(kernel.workload_addresses.is_empty());
        prop_assert!(kernel.consumers.is_empty());
        let published: BTreeSet<_> = kernel.services.values().map(|reference| reference.0).collect();
        prop_assert!(published.iter().all(|reference| *reference == TableReference::NONE.0));
    }
}
