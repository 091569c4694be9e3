//! What those who call all the time notice of changes on the routed path: nothing.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::backends::{Backends, FRONT, front};
use mesh_tests::deadline::eventually;
use mesh_tests::fleet::{Fleet, name, target};
use mesh_tests::load::Width;
use mesh_tests::manifest::{documents, workload};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::process::Process;
use mesh_tests::route::Route;
use mesh_tests::routed::{await_routed, is_routed, reside};
use mesh_tests::rpc::Calls;
use mesh_tests::rpc::Implementation::{self, Grpcio, Tonic};
use mesh_tests::stage::anywhere;
use mesh_tests::steady::{Habit, Steady};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

const WIDTH: Width = Width {
    connections: 2,
    streams: 4,
};

/// Calls of all clients of a test that may be under way at once.
const UNDER_WAY_MAX: u64 = 2 * 2 * 4;

/// How long a server takes to answer: so long that it always has calls under way.
const DELAY: Duration = Duration::from_millis(10);

/// Far above what anything here takes, on a machine that has a lot else to do.
const LIMIT: Duration = Duration::from_secs(120);

/// Endpoints at a time.
const SERVERS: usize = 3;

/// Clients of both implementations, which keep their connections.
fn start_both(pod: &Pod, target: SocketAddr) -> Result<[Steady; 2]> {
    Ok([
        Steady::start(Tonic, pod, target, WIDTH, Habit::Stay)?,
        Steady::start(Grpcio, pod, target, WIDTH, Habit::Stay)?,
    ])
}

fn check_unharmed(calls: &Calls, when: &str) {
    assert!(calls.failures.is_empty(), "{when}: {calls:?}");
    // As many as the client had under way when its connection said that it would end.
    assert!(calls.unsent <= UNDER_WAY_MAX, "{when}: {calls:?}");
    assert!(!calls.answers.is_empty(), "{when}: nobody called");
}

/// Who answers calls that begin now.
fn answering(client: &mut Steady, when: &str) -> Result<BTreeSet<String>> {
    check_unharmed(&client.so_far()?, when);
    let calls = client.so_far()?;
    check_unharmed(&calls, when);
    Ok(calls.answers.into_keys().collect())
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn rolling_replacement_of_tonic_servers_fails_no_call() -> Result {
    rolling_replacement(Tonic)
}

#[test]
fn rolling_replacement_of_grpcio_servers_fails_no_call() -> Result {
    rolling_replacement(Grpcio)
}

/// One by one: a new server is ready and an old one terminating, the old one ends, and is gone from the slice.
fn rolling_replacement(servers: Implementation) -> Result {
    let fleet = Fleet::new(2 * SERVERS, SERVERS)?;
    let serve =
        |number: usize| servers.serve_slowly(&fleet.pods[number], anywhere(), &name(number), DELAY);
    let mut running = (0..SERVERS).map(serve).collect::<Result<Vec<_>>>()?;
    let mut clients = start_both(&fleet.caller, target())?;
    for old in 0..SERVERS {
        running.push(serve(SERVERS + old)?);
        let others = || (old + 1..=SERVERS + old).map(|number| fleet.ready(number));
        fleet.apply(others().chain([fleet.terminating(old)]))?;
        if servers == Grpcio {
            // It cancels calls that it reads after it was told to end: what was sent to it before has to have arrived.
            for client in &mut clients {
                check_unharmed(&client.so_far()?, &name(old));
            }
        }
        running[old].signal(Signal::TERM)?;
        let ended = running[old].wait(LIMIT)?;
        assert!(ended.success(), "{}: {ended}", name(old));
        fleet.apply(others())?;
        for client in &mut clients {
            check_unharmed(&client.so_far()?, &name(old));
        }
    }
    let new: BTreeSet<_> = (SERVERS..2 * SERVERS).map(name).collect();
    for mut client in clients {
        let mut seen = BTreeSet::new();
        // Some may be chosen seldom: the balancer goes by what calls took.
        eventually("all new servers answer", LIMIT, || {
            let more = answering(&mut client, "afterwards").map_err(|error| error.to_string())?;
            seen.extend(more);
            assert!(seen.is_subset(&new), "{seen:?}");
            (seen == new).then_some(()).ok_or(format!("{seen:?}"))
        })?;
        check_unharmed(&client.end()?, "at the end");
    }
    fleet.agent.terminate()
}

/// The configuration learns of it only afterwards.
#[test]
fn a_killed_server_costs_the_calls_it_had_and_no_others() -> Result {
    let fleet = Fleet::new(2 * SERVERS, SERVERS)?;
    let serve =
        |number: usize| Tonic.serve_slowly(&fleet.pods[number], anywhere(), &name(number), DELAY);
    let mut running = (0..SERVERS).map(serve).collect::<Result<Vec<_>>>()?;
    let mut clients = start_both(&fleet.caller, target())?;
    let mut failed = 0;
    for old in 0..SERVERS {
        running.push(serve(SERVERS + old)?);
        fleet.apply((old..=SERVERS + old).map(|number| fleet.ready(number)))?;
        running[old].signal(Signal::KILL)?;
        running[old].wait(LIMIT)?;
        let mut failures = Vec::new();
        for client in &mut clients {
            // Calls that began before, then calls that began after it was gone.
            failures.extend(client.so_far()?.failures);
            check_unharmed(&client.so_far()?, &name(old));
        }
        let is_unavailable = |text: &str| {
            text.contains("code: Unavailable") || text.contains("StatusCode.UNAVAILABLE")
        };
        assert!(
            failures.iter().all(|(text, _)| is_unavailable(text)),
            "{failures:?}"
        );
        let count: u64 = failures.iter().map(|(_, count)| count).sum();
        assert!(count <= UNDER_WAY_MAX, "{count}: {failures:?}");
        failed += count;
        fleet.apply((old + 1..=SERVERS + old).map(|number| fleet.ready(number)))?;
    }
    for mut client in clients {
        answering(&mut client, "afterwards")?;
    }
    assert!(failed > 0, "no server had a call when it was killed");
    fleet.agent.terminate()
}

/// A caller of [`FRONT`]. Fields end in this order.
struct Shop {
    agent: Agent,
    _resident: Process,
    _backends: Backends,
    caller: Pod,
    _network: Network,
    node: Node,
}

impl Shop {
    fn open() -> Result<Self> {
        let node = Node::new("node-a")?;
        let mut network = Network::new()?;
        let caller = network.add_pod(node.cgroup(), "caller-0", Families::V4)?;
        let resident = reside(&caller)?;
        let (backends, mut manifests) = Backends::start(&node, &mut network)?;
        manifests.push(workload("caller", &[caller.ipv4()]));
        node.config().put("all.yaml", &documents(manifests))?;
        Ok(Self {
            agent: node.start_agent(&[])?,
            _resident: resident,
            _backends: backends,
            caller,
            _network: network,
            node,
        })
    }

    /// Sends everything to this Service.
    fn route_to(&self, backend: &str) -> Result {
        let route = Route::grpc("front", FRONT).rule(&Value::Null, &[(backend, 1)]);
        self.agent.apply(self.node.config(), |config| {
            config.put("route.yaml", &route.manifest())
        })
    }

    fn start(&self, client: Implementation, habit: Habit) -> Result<Steady> {
        Steady::start(client, &self.caller, front(), WIDTH, habit)
    }
}

#[test]
fn a_route_that_comes_changes_and_goes_fails_no_call_and_holds_at_once() -> Result {
    let shop = Shop::open()?;
    let mut coming = shop.start(Tonic, Habit::Come)?;
    let mut direct = [
        shop.start(Tonic, Habit::Stay)?,
        shop.start(Grpcio, Habit::Stay)?,
    ];
    assert_eq!(answering(&mut coming, "without a route")?, names(&[FRONT]));

    // The first route of all has the agent listen in the callers' namespaces.
    shop.route_to("green")?;
    await_routed(&shop.agent, &shop.caller, front())?;
    assert_eq!(answering(&mut coming, "with a route")?, names(&["green"]));
    for client in &mut direct {
        let seen = answering(client, "with a route, kept")?;
        assert_eq!(seen, names(&[FRONT]), "the connection stays where it is");
    }
    let mut routed = [
        shop.start(Tonic, Habit::Stay)?,
        shop.start(Grpcio, Habit::Stay)?,
    ];
    for backend in ["blue", "green", "blue"] {
        shop.route_to(backend)?;
        assert_eq!(answering(&mut coming, backend)?, names(&[backend]));
        for client in &mut routed {
            assert_eq!(answering(client, backend)?, names(&[backend]));
        }
    }

    shop.agent
        .apply(shop.node.config(), |config| config.remove("route.yaml"))?;
    assert!(!is_routed(&shop.caller, front())?);
    assert_eq!(answering(&mut coming, "route gone")?, names(&[FRONT]));
    for client in &mut routed {
        // They are asked to leave; those that were about to call are still served as before.
        eventually("callers have left the proxy", LIMIT, || {
            match answering(client, "route gone, kept") {
                Ok(seen) if seen == names(&[FRONT]) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
    }
    for client in [coming].into_iter().chain(direct).chain(routed) {
        check_unharmed(&client.end()?, "at the end");
    }
    Ok(())
}

/// Where the service fails open, which is the default.
#[test]
fn an_agent_that_ends_and_comes_again_fails_no_call() -> Result {
    let fleet = Fleet::new(SERVERS, SERVERS)?;
    let serve =
        |number: usize| Tonic.serve_slowly(&fleet.pods[number], anywhere(), &name(number), DELAY);
    let _running = (0..SERVERS).map(serve).collect::<Result<Vec<_>>>()?;
    let [tonic, grpcio] = start_both(&fleet.caller, target())?;
    let coming = Steady::start(Tonic, &fleet.caller, target(), WIDTH, Habit::Come)?;
    let mut clients = [tonic, grpcio, coming];
    fleet.agent.signal(Signal::TERM)?;
    fleet.agent.ended(LIMIT)?;
    for client in &mut clients {
        answering(client, "without an agent")?;
    }

    let agent = fleet.node.start_agent(&[])?;
    await_routed(&agent, &fleet.caller, target())?;
    for mut client in clients {
        answering(&mut client, "with the next agent")?;
        check_unharmed(&client.end()?, "at the end");
    }
    agent.terminate()
}
