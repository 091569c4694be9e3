//! Whatever stands in the configuration directory: a clear message or a defined state, and the last good one in force.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::node::run;
use mesh_tests::peer::{Client, Dial, Ending, Exchange};
use mesh_tests::scene::{CLUSTER_IP, PORT, Scene};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

fn dial(count: u64) -> Dial {
    let target = (CLUSTER_IP, PORT).into();
    Dial::new([target])
        .count(count)
        .exchange(Exchange::Banner)
        .ending(Ending::Reset)
}

/// Which of the scene's endpoints answer.
fn answering(scene: &Scene) -> Result<Vec<usize>> {
    let report = Client::run(&scene.caller, &dial(100))?;
    Ok((0..3)
        .filter(|&number| report.answers_of(&Scene::identity(number)) > 0)
        .collect())
}

/// Awaits that exactly these endpoints answer.
fn await_answering(scene: &Scene, expected: &[usize]) -> Result {
    eventually(&format!("endpoints {expected:?} answer"), LIMIT, || {
        let seen = answering(scene).map_err(|error| error.to_string())?;
        if seen == expected {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    })
}

/// Awaits a problem that says all of `words`.
fn await_problem(agent: &Agent, words: &[&str]) -> Result {
    eventually(&format!("a problem that says {words:?}"), LIMIT, || {
        let problems = agent.api("problems").map_err(|error| error.to_string())?;
        let list = problems["problems"].as_array().cloned().unwrap_or_default();
        let says_all = |text: &str| words.iter().all(|&word| text.contains(word));
        match list
            .iter()
            .any(|problem| problem["text"].as_str().is_some_and(says_all))
        {
            true => Ok(()),
            false => Err(problems.to_string()),
        }
    })
}

/// A wrong file: its text, and what its problem must say beside the file's name.
struct Wrong {
    case: &'static str,
    text: &'static str,
    says: &'static [&'static str],
    /// What `validate` exits with: a Service that is yet to come, or an object for somebody else, is a warning.
    code: i32,
}

const WRONG: [Wrong; 8] = [
    Wrong {
        case: "unknown field",
        text: "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec:\n  clusterIPs: [10.96.9.1]\n  clusterIP: 10.96.9.1\n  ports:\n  - {port: 80, prot: TCP}\n",
        says: &[":8", "prot"],
        code: 1,
    },
    Wrong {
        case: "wrong type",
        text: "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec:\n  clusterIP: 10.96.9.1\n  ports:\n  - port: many\n",
        says: &[":7", "spec.ports[0].port", "many"],
        code: 1,
    },
    Wrong {
        case: "a cluster IP and port that another Service has",
        text: "apiVersion: v1\nkind: Service\nmetadata: {name: z, namespace: shop}\nspec:\n  clusterIP: 10.96.0.10\n  ports:\n  - port: 80\n",
        says: &["10.96.0.10", "80", "shop/inventory"],
        code: 1,
    },
    Wrong {
        case: "a slice for an unknown Service",
        text: "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: a\n  namespace: shop\n  labels: {kubernetes.io/service-name: nobody}\naddressType: IPv4\nports: [{name: grpc, port: 80}]\nendpoints: [{addresses: [10.244.0.2]}]\n",
        says: &["nobody"],
        code: 0,
    },
    Wrong {
        case: "an address that is none",
        text: "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: a\n  namespace: shop\n  labels: {kubernetes.io/service-name: inventory}\naddressType: IPv4\nports: [{name: grpc, port: 80}]\nendpoints:\n- addresses: [10.244.0.299]\n",
        says: &[":10", "10.244.0.299"],
        code: 1,
    },
    Wrong {
        case: "no YAML",
        text: "apiVersion: v1\nkind: [Service\nmetadata: }\n",
        says: &[":3"],
        code: 1,
    },
    Wrong {
        case: "no object of Kubernetes",
        text: "hello: world\n",
        says: &["kind"],
        code: 1,
    },
    Wrong {
        case: "a kind that the mesh does not know",
        text: "apiVersion: v1\nkind: Sevice\nmetadata: {name: a, namespace: shop}\n",
        says: &["Sevice"],
        code: 0,
    },
];

#[test]
fn every_mistake_is_named_with_its_place_and_changes_nothing() -> Result {
    let scene = Scene::open()?;
    scene.configure(&scene.service(), [scene.endpoint(0), scene.endpoint(1)])?;
    let agent = scene.node.start_agent(&[])?;
    for Wrong {
        case,
        text,
        says,
        code,
    } in WRONG
    {
        println!("{case}");
        scene.node.config().put("wrong.yaml", text)?;
        let mut words = vec!["wrong.yaml"];
        words.extend(says);
        await_problem(&agent, &words)?;
        assert_eq!(answering(&scene)?, [0, 1], "{case}");

        let mut validate = Command::new(mesh_tests::binary::agent()?);
        validate.arg("validate").arg(scene.node.config().path());
        let output = run(validate)?;
        assert_eq!(output.status.code(), Some(code), "{case}: {output:?}");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            words.iter().all(|&word| said.contains(word)),
            "{case}: {words:?} in {said}"
        );
    }
    scene.node.config().remove("wrong.yaml")?;
    eventually("no problem left", LIMIT, || {
        let problems = agent.api("problems").map_err(|error| error.to_string())?;
        if problems["total"] == 0 {
            Ok(())
        } else {
            Err(problems.to_string())
        }
    })
}

#[test]
fn a_file_that_turns_bad_keeps_its_last_good_version() -> Result {
    let scene = Scene::open()?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    for bad in ["{{{", "kind: Service\n\tspec: x\n"] {
        scene.node.config().put("inventory.yaml", bad)?;
        await_problem(&agent, &["inventory.yaml"])?;
        assert_eq!(answering(&scene)?, [0], "{bad:?}");
        agent.expect_within("mesh_config_rejected", &[], 1..)?;
    }
    scene.configure(&scene.service(), [scene.endpoint(1)])?;
    await_answering(&scene, &[1])?;
    agent.expect("mesh_config_rejected", &[], 0)
}

#[test]
fn no_ready_endpoint_means_host_unreachable() -> Result {
    let scene = Scene::open()?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    let unready = Endpoint::not_ready(scene.callees[0].ipv4());
    agent.apply(scene.node.config(), |_| {
        scene.configure(&scene.service(), [unready])
    })?;
    let report = Client::run(&scene.caller, &dial(20))?;
    assert_eq!(report.failed.get("EHOSTUNREACH"), Some(&20), "{report:?}");
    agent.expect(
        "mesh_kernel_decisions_total",
        &[("reason", "no_endpoint")],
        20,
    )
}

#[test]
fn an_empty_directory_is_a_configuration() -> Result {
    let scene = Scene::open()?;
    scene.node.config().remove("caller.yaml")?;
    let agent = scene.node.start_agent(&[])?;
    assert_eq!(agent.api("services")?["services"], serde_json::json!([]));
    let status = agent.command(&["status"])?;
    assert!(!status.is_empty());
    Ok(())
}

#[test]
fn a_directory_that_vanishes_and_returns_is_followed() -> Result {
    let scene = Scene::open()?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    let path = scene.node.config().path();
    let aside = scene.node.config().scratch().join("aside");
    fs::rename(&path, &aside).expect("the directory can be moved");
    await_problem(&agent, &[&path.display().to_string()])?;
    assert_eq!(
        answering(&scene)?,
        [0],
        "the last good state stays in force"
    );

    fs::rename(&aside, &path).expect("the directory can be moved back");
    scene.configure(&scene.service(), [scene.endpoint(2)])?;
    await_answering(&scene, &[2])?;
    eventually("no problem left", LIMIT, || {
        let problems = agent.api("problems").map_err(|error| error.to_string())?;
        if problems["total"] == 0 {
            Ok(())
        } else {
            Err(problems.to_string())
        }
    })
}

#[test]
fn a_huge_file_and_a_yaml_bomb_are_refused_at_little_cost() -> Result {
    let scene = Scene::open()?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    let huge = format!("# {}\n", "x".repeat(50 << 20));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            [below.as_str(); 9].join(", ")
        ));
    }
    let deep = "[".repeat(100_000);
    for (name, text) in [
        ("huge.yaml", &huge),
        ("bomb.yaml", &bomb),
        ("deep.yaml", &deep),
    ] {
        scene.node.config().put(name, text)?;
        await_problem(&agent, &[name])?;
        assert_eq!(answering(&scene)?, [0], "{name}");
        let memory = agent.metrics()?.sum("process_resident_memory_bytes", &[]);
        assert!(memory < 100e6, "{name}: {memory} bytes");
    }
    scene.configure(&scene.service(), [scene.endpoint(1)])?;
    await_answering(&scene, &[1])
}

#[test]
fn a_config_map_swap_is_one_change() -> Result {
    let scene = Scene::open()?;
    scene.node.config().remove("caller.yaml")?;
    let manifest = |number| {
        let slice = scene.slice([scene.endpoint(number)]);
        documents([scene.service().manifest(), slice.manifest()])
    };
    let publish = |version: &str, number| {
        scene
            .node
            .config()
            .publish_config_map(version, &[("inventory.yaml", &manifest(number))])
    };
    publish("one", 0)?;
    let _agent = scene.node.start_agent(&[])?;
    await_answering(&scene, &[0])?;
    for (version, number) in [("two", 1), ("three", 2), ("four", 0)] {
        publish(version, number)?;
        await_answering(&scene, &[number])?;
    }
    Ok(())
}

#[test]
fn writes_in_place_and_by_rename_are_both_followed() -> Result {
    let scene = Scene::open()?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let _agent = scene.node.start_agent(&[])?;
    for number in [1, 2, 0] {
        scene.configure(&scene.service(), [scene.endpoint(number)])?;
        await_answering(&scene, &[number])?;
    }
    let path = scene.node.config().path().join("inventory.yaml");
    for number in [1, 2] {
        let slice = scene.slice([scene.endpoint(number)]);
        let text = documents([scene.service().manifest(), slice.manifest()]);
        fs::write(&path, text).expect("the file is writable");
        await_answering(&scene, &[number])?;
    }
    Ok(())
}

#[test]
fn of_two_services_with_one_address_the_first_stays_and_the_second_heals() -> Result {
    let scene = Scene::open()?;
    scene.configure(&scene.service(), [scene.endpoint(0)])?;
    let agent = scene.node.start_agent(&[])?;
    let rival = |ip: &str| {
        let endpoint = Endpoint::ready(scene.callees[1].ipv4());
        documents([
            Service::new("rival", &[ip]).port("grpc", PORT).manifest(),
            Slice::new("rival", "grpc", 7_000, [endpoint]).manifest(),
        ])
    };
    scene
        .node
        .config()
        .put("rival.yaml", &rival(&CLUSTER_IP.to_string()))?;
    await_problem(&agent, &["rival", &CLUSTER_IP.to_string()])?;
    assert_eq!(answering(&scene)?, [0]);

    // Its own address, once it has one, works; and the other's is free once that has gone.
    let own = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 11));
    agent.apply(scene.node.config(), |config| {
        config.put("rival.yaml", &rival(&own.to_string()))
    })?;
    let own_dial = Dial::new([(own, PORT).into()]).exchange(Exchange::Banner);
    assert_eq!(
        Client::run(&scene.caller, &own_dial)?.answers_of("inventory-1"),
        1
    );
    scene
        .node
        .config()
        .put("rival.yaml", &rival(&CLUSTER_IP.to_string()))?;
    await_problem(&agent, &["rival", &CLUSTER_IP.to_string()])?;
    scene.node.config().remove("inventory.yaml")?;
    await_answering(&scene, &[1])
}
