//! Connections to routed services go through the agent, from a listener in the caller's own network namespace.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{documents, routing_policy};
use mesh_tests::network::{Families, Pod};
use mesh_tests::peer::{Client, Dial, Ending, Exchange, Mode, Report, SocketOptions};
use mesh_tests::process::Process;
use mesh_tests::scene::{CLUSTER_IP, PORT, Scene};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

const SERVICE: &[(&str, &str)] = &[("destination_service", "inventory")];

/// Servers that say whom they see, behind a routed service.
fn open_scene(failure_mode: &str) -> Result<Scene> {
    let scene = Scene::with_mode(Mode::Caller)?;
    let text = documents([
        scene.service().manifest(),
        scene
            .slice((0..3).map(|number| scene.endpoint(number)))
            .manifest(),
        routing_policy("inventory", failure_mode),
    ]);
    scene.node.config().put("inventory.yaml", &text)?;
    Ok(scene)
}

fn dial(count: u64) -> Dial {
    Dial::new([(CLUSTER_IP, PORT).into()])
        .count(count)
        .exchange(Exchange::Banner)
        .ending(Ending::Close)
}

/// Keeps a pod alive between clients, as the pause container does.
fn pause(pod: &Pod) -> Result<Process> {
    let mut command = Command::new("sleep");
    command.arg("600");
    pod.spawn(command)
}

/// Connects until a connection goes to the proxy, the first one since the agent has started, and awaits that it is counted.
fn await_capture(pod: &Pod, agent: &Agent) -> Result {
    eventually("a connection is routed", LIMIT, || {
        let report = Client::run(pod, &dial(1)).map_err(|error| error.to_string())?;
        let local = report.first_local.map(|local| local.ip().to_canonical());
        if local.is_some_and(|local| local.is_loopback()) {
            return Ok(());
        }
        Err(format!("{report:?}"))
    })?;
    let labels = [SERVICE[0], ("path", "routed")];
    agent.expect("mesh_connection_opened_total", &labels, 1)
}

fn check_seen(scene: &Scene, report: &Report, count: u64) {
    assert_eq!(report.connected, count, "{report:?}");
    assert_eq!(
        report.answers_of(&scene.caller.ipv4().to_string()),
        count,
        "the server sees the caller: {report:?}"
    );
    assert_eq!(
        report.foreign_peers, 0,
        "getpeername is the service: {report:?}"
    );
}

#[test]
fn what_is_not_http2_is_relayed_and_both_ends_see_each_other() -> Result {
    let scene = open_scene("Open")?;
    let _pause = pause(&scene.caller)?;
    let agent = scene.node.start_agent(&[])?;
    await_capture(&scene.caller, &agent)?;
    let labels = [SERVICE[0], ("reason", "not_http2")];
    agent.expect("mesh_bypass_total", &labels, 1)?;

    let report = Client::run(&scene.caller, &dial(20))?;

    check_seen(&scene, &report, 20);
    let local = report.first_local.expect("it has connected");
    assert!(local.ip().is_loopback(), "{report:?}");
    let labels = [
        SERVICE[0],
        ("path", "routed"),
        ("source_workload", "caller"),
    ];
    agent.expect("mesh_connection_opened_total", &labels, 21)?;
    let labels = [SERVICE[0], ("reason", "not_http2")];
    agent.expect("mesh_bypass_total", &labels, 21)?;

    let mapped = SocketOptions {
        v4_mapped: true,
        ..SocketOptions::default()
    };
    check_seen(
        &scene,
        &Client::run(&scene.caller, &dial(3).socket(mapped))?,
        3,
    );
    let bound = SocketOptions {
        sources: vec![scene.caller.ipv4()],
        ..SocketOptions::default()
    };
    let report = Client::run(&scene.caller, &dial(3).socket(bound))?;
    check_seen(&scene, &report, 3);
    let local = report.first_local.expect("it has connected");
    assert_eq!(local.ip(), scene.caller.ipv4());
    agent.expect("mesh_bpf_map_entries", &[("map", "ORIGINS")], 0)?;
    agent.terminate()
}

#[test]
fn without_an_agent_a_service_that_fails_open_is_reached_directly() -> Result {
    let scene = open_scene("Open")?;
    let _pause = pause(&scene.caller)?;
    let agent = scene.node.start_agent(&[])?;
    await_capture(&scene.caller, &agent)?;
    agent.kill()?;

    let report = Client::run(&scene.caller, &dial(20))?;

    check_seen(&scene, &report, 20);
    let local = report.first_local.expect("it has connected");
    assert_eq!(local.ip(), scene.caller.ipv4(), "{report:?}");
    Ok(())
}

#[test]
fn without_an_agent_a_service_that_fails_closed_is_refused() -> Result {
    let scene = open_scene("Closed")?;
    let _pause = pause(&scene.caller)?;
    let agent = scene.node.start_agent(&[])?;
    await_capture(&scene.caller, &agent)?;
    agent.kill()?;

    let report = Client::run(&scene.caller, &dial(20))?;

    assert_eq!(report.failed.get("ECONNREFUSED"), Some(&20), "{report:?}");
    Ok(())
}

#[test]
fn what_is_not_http2_is_refused_where_the_service_fails_closed() -> Result {
    let scene = open_scene("Closed")?;
    let _pause = pause(&scene.caller)?;
    let agent = scene.node.start_agent(&[])?;
    await_capture(&scene.caller, &agent)?;

    let report = Client::run(&scene.caller, &dial(5))?;

    assert_eq!(report.broken.values().sum::<u64>(), 5, "{report:?}");
    agent.terminate()
}

/// A pod that comes while the agent runs, and connects first thing.
#[test]
fn the_first_connect_of_a_namespace_announces_it() -> Result {
    for failure_mode in ["Open", "Closed"] {
        let mut scene = open_scene(failure_mode)?;
        let agent = scene.node.start_agent(&[])?;
        let late = scene
            .network
            .add_pod(scene.node.cgroup(), "late-0", Families::V4)?;

        let report = Client::run(&late, &dial(1))?;

        let refused = report.failed.get("ECONNREFUSED").copied().unwrap_or(0);
        let expected = if failure_mode == "Open" {
            (1, 0)
        } else {
            (0, 1)
        };
        assert_eq!(
            (report.connected, refused),
            expected,
            "{failure_mode}: {report:?}"
        );
        let labels = [SERVICE[0], ("reason", "no_listener")];
        agent.expect("mesh_bypass_total", &labels, 1)?;
        let _pause = pause(&late)?;
        await_capture(&late, &agent)?;
        agent.terminate()?;
    }
    Ok(())
}

#[test]
fn removing_the_policy_ends_the_capture() -> Result {
    let scene = open_scene("Open")?;
    let _pause = pause(&scene.caller)?;
    let agent = scene.node.start_agent(&[])?;
    await_capture(&scene.caller, &agent)?;
    agent.apply(scene.node.config(), |_| {
        scene.configure(
            &scene.service(),
            (0..3).map(|number| scene.endpoint(number)),
        )
    })?;

    let report = Client::run(&scene.caller, &dial(10))?;

    check_seen(&scene, &report, 10);
    let local = report.first_local.expect("it has connected");
    assert_eq!(local.ip(), scene.caller.ipv4(), "{report:?}");
    agent.terminate()
}
