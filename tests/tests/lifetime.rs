//! The data plane outlives the agent, is replaced without a gap, and goes without a trace.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::bpf::Objects;
use mesh_tests::deadline::eventually;
use mesh_tests::node::{admin_address, run};
use mesh_tests::peer::{Client, Dial, Ending, Exchange};
use mesh_tests::scene::{CLUSTER_IP, PORT, Scene};
use std::path::Path;
use std::time::Duration;

fn open_scene() -> Result<Scene> {
    let scene = Scene::open()?;
    scene.configure(
        &scene.service(),
        (0..3).map(|number| scene.endpoint(number)),
    )?;
    Ok(scene)
}

fn dial(count: u64) -> Dial {
    let target = (CLUSTER_IP, PORT).into();
    Dial::new([target])
        .count(count)
        .exchange(Exchange::Banner)
        .ending(Ending::Reset)
}

/// Everything the agent has made in the kernel.
fn objects(agent: &Agent, pins: &Path) -> Result<Objects> {
    Ok(Objects::of_process(agent.id())?.and(Objects::pinned(pins)?))
}

fn await_gone(objects: &Objects) -> Result {
    // The kernel frees programs and maps after a grace period.
    eventually(
        "no program, link or map left",
        Duration::from_secs(5),
        || {
            let alive = objects.alive().map_err(|error| error.to_string())?;
            if alive.is_empty() {
                Ok(())
            } else {
                Err(format!("{alive:?}"))
            }
        },
    )
}

/// Names of the groups below a cgroup.
fn groups(path: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    names
}

#[test]
fn unload_leaves_no_program_link_map_pin_or_cgroup() -> Result {
    let scene = open_scene()?;
    let before = groups(scene.node.cgroup().path());
    let agent = scene.node.start_agent(&[])?;
    let made = objects(&agent, scene.node.bpffs())?;
    assert_eq!(made.programs.len(), 8, "{made:?}");
    assert!(made.links.len() >= 8 && made.maps.len() >= 35, "{made:?}");
    assert_eq!(Client::run(&scene.caller, &dial(10))?.connected, 10);
    agent.terminate()?;

    scene.node.unload()?;
    await_gone(&made)?;
    assert_eq!(groups(scene.node.cgroup().path()), before);
    let report = Client::run(&scene.caller, &dial(1))?;
    assert_eq!(
        report.failed.get("ENETUNREACH"),
        Some(&1),
        "nothing redirects any more: {report:?}"
    );
    // A second time there is nothing to do, and that is fine.
    scene.node.unload().map(drop)
}

#[test]
fn connections_go_on_after_a_graceful_exit() -> Result {
    let scene = open_scene()?;
    let agent = scene.node.start_agent(&[])?;
    let held = Client::start(&scene.caller, &dial(10).hold())?;
    held.report()?;
    agent.terminate()?;
    check_direct_path(&scene)?;
    let report = held.finish()?;
    assert!(report.broken.is_empty(), "{report:?}");
    Ok(())
}

#[test]
fn connections_go_on_after_a_crash() -> Result {
    let scene = open_scene()?;
    let agent = scene.node.start_agent(&[])?;
    agent.kill()?;
    check_direct_path(&scene)
}

fn check_direct_path(scene: &Scene) -> Result {
    let report = Client::run(&scene.caller, &dial(300))?;
    assert_eq!(report.connected, 300, "{report:?}");
    assert_eq!(
        report.foreign_peers, 0,
        "getpeername still answers the cluster IP"
    );
    for number in 0..3 {
        assert!(
            report.answers_of(&Scene::identity(number)) > 0,
            "{report:?}"
        );
    }
    Ok(())
}

#[test]
fn a_second_run_replaces_the_pins_and_no_connect_fails_meanwhile() -> Result {
    let scene = open_scene()?;
    let first = scene.node.start_agent(&[])?;
    let mut endless = dial(10_000_000);
    endless.until_told = true;
    let client = Client::start(&scene.caller, &endless)?;
    let old = objects(&first, scene.node.bpffs())?;
    first.kill()?;
    let second = scene.node.start_agent(&[])?;
    let new = objects(&second, scene.node.bpffs())?;
    second.terminate()?;
    let third = scene.node.start_agent(&[])?;
    let report = client.finish()?;
    assert!(
        report.failed.is_empty() && report.broken.is_empty(),
        "{report:?}"
    );
    assert!(report.connected > 100, "{report:?}");
    // A socket belongs to the programs that saw its connect(): if they are replaced before it asks for its peer, it is told the
    // endpoint. The client makes one connection at a time, so that can befall one of them per replacement.
    let replacements = 2;
    assert!(report.foreign_peers <= replacements, "{report:?}");

    assert!(new.programs.is_disjoint(&old.programs) && new.maps.is_disjoint(&old.maps));
    await_gone(&old)?;
    await_gone(&new)?;
    third.terminate()
}

#[test]
fn a_second_agent_beside_the_first_is_refused() -> Result {
    let scene = open_scene()?;
    let first = scene.node.start_agent(&[])?;
    let second = run(scene.node.run_command(admin_address())?)?;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let text = String::from_utf8_lossy(&second.stderr);
    let pins = scene.node.bpffs().display().to_string();
    assert!(
        text.contains(&pins) && text.contains("another agent"),
        "{text}"
    );
    assert_eq!(first.api("status")?["not_ready"], serde_json::json!([]));
    check_direct_path(&scene)
}

/// What the verifier goes through grows with every branch; it gives up at 1,000,000 instructions.
const VERIFIED_MAX: u64 = 300_000;

#[test]
fn every_program_is_verified_with_room_to_spare() -> Result {
    let scene = open_scene()?;
    let agent = scene.node.start_agent(&[])?;
    let status: serde_json::Value =
        serde_json::from_str(&agent.command(&["status", "-o", "json"])?).expect("status is JSON");
    let programs = status["programs"].as_array().expect("a list");
    assert_eq!(programs.len(), 8);
    for program in programs {
        let verified = program["verified_instructions"].as_u64();
        println!("{}: {verified:?} verified instructions", program["name"]);
        assert!(
            verified.is_some_and(|count| (1..=VERIFIED_MAX).contains(&count)),
            "{program}"
        );
    }
    Ok(())
}
