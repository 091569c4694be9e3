//! A full map: counted, named in `status`, and what it holds goes on.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::network::Families;
use mesh_tests::peer::{Client, Dial, Ending, Exchange};
use mesh_tests::scene::{CLUSTER_IP, PORT, Scene};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

fn dial(count: u64) -> Dial {
    let target = SocketAddr::new(CLUSTER_IP, PORT);
    Dial::new([target])
        .count(count)
        .exchange(Exchange::Banner)
        .ending(Ending::Reset)
}

/// Checks that `map` is counted as full and named by `status`, and that the first Service still works.
fn check_full(scene: &Scene, agent: &Agent, map: &str) -> Result {
    eventually(&format!("{map} counted as full"), LIMIT, || {
        let metrics = agent.metrics().map_err(|error| error.to_string())?;
        let count = metrics.count("mesh_bpf_map_full_total", &[("map", map)]);
        if count > 0 {
            Ok(())
        } else {
            Err(format!("{count}, {}", agent.log()))
        }
    })?;
    // `status` exits with 1: something is wrong.
    let status = agent.output(&["status"])?;
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    let text = String::from_utf8_lossy(&status.stdout);
    let line = text
        .lines()
        .find(|line| line.contains(map) && line.contains("FULL"));
    assert!(line.is_some(), "{map} is not named as full in:\n{text}");
    let report = Client::run(&scene.caller, &dial(50))?;
    assert_eq!(
        report.connected, 50,
        "what the map holds goes on: {report:?}"
    );
    Ok(())
}

/// More Services than fit, each with endpoints that nobody dials.
fn crowd(services: u8, endpoints: u8) -> String {
    documents((1..=services).flat_map(|number| {
        let name = format!("crowd-{number}");
        let ready = (1..=endpoints)
            .map(move |last| Endpoint::ready(IpAddr::V4(Ipv4Addr::new(10, 246, number, last))));
        [
            Service::new(&name, &[&format!("10.96.1.{number}")])
                .port("grpc", 80)
                .manifest(),
            Slice::new(&name, "grpc", 80, ready).manifest(),
        ]
    }))
}

#[test]
fn too_many_services_leave_the_first_ones_working() -> Result {
    let scene = Scene::open()?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    let agent = scene.node.start_agent(&["--service-capacity", "8"])?;
    scene.node.config().put("crowd.yaml", &crowd(20, 1))?;
    check_full(&scene, &agent, "SERVICES")?;

    // With the crowd gone there is room again.
    agent.apply(scene.node.config(), |config| config.remove("crowd.yaml"))?;
    scene.node.config().put("crowd.yaml", &crowd(2, 1))?;
    eventually("room for two more", LIMIT, || {
        let services = agent.api("services").map_err(|error| error.to_string())?;
        let text = services.to_string();
        if text.contains("shop/crowd-2") {
            Ok(())
        } else {
            Err(text)
        }
    })
}

#[test]
fn too_many_endpoints_leave_the_first_ones_working() -> Result {
    let scene = Scene::open()?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    let agent = scene.node.start_agent(&["--endpoint-capacity", "16"])?;
    scene.node.config().put("crowd.yaml", &crowd(3, 20))?;
    check_full(&scene, &agent, "ENDPOINT_ADDRS")
}

#[test]
fn connections_of_too_many_pairs_are_made_but_not_counted() -> Result {
    let mut scene = Scene::open()?;
    // Each Service is a destination of its own, and there is room for the pairs of one or two.
    let names: Vec<_> = (1..=4).map(|number| format!("pair-{number}")).collect();
    let target =
        |index: usize| SocketAddr::from(([10, 96, 2, u8::try_from(index).unwrap_or(0)], PORT));
    let pairs = names.iter().enumerate().flat_map(|(index, name)| {
        let ip = target(index).ip().to_string();
        [
            Service::new(name, &[&ip]).port("grpc", PORT).manifest(),
            scene.slice_of(name, [scene.endpoint(0)]).manifest(),
        ]
    });
    scene.node.config().put("pairs.yaml", &documents(pairs))?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    let other = scene
        .network
        .add_pod(scene.node.cgroup(), "other-0", Families::V4)?;
    let agent = scene.node.start_agent(&["--connection-capacity", "2"])?;
    Client::run(&scene.caller, &dial(5))?;
    let crowd = Dial::new((0..names.len()).map(target))
        .count(400)
        .exchange(Exchange::Banner);
    let report = Client::run(&other, &crowd.ending(Ending::Reset))?;
    assert_eq!(report.connected, 400, "{report:?}");
    check_full(&scene, &agent, "CONNECTIONS")?;
    let flow = [
        ("source_workload", "caller"),
        ("destination_service", "inventory"),
    ];
    agent.expect("mesh_connection_opened_total", &flow, 55)?;
    drop(agent);
    drop(other);
    Ok(())
}
