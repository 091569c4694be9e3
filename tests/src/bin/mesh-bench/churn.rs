//! How soon a change of the manifests is in force, and whether that depends on how many services there are.
//!
//! A process in the mesh connects without pause. The time of a change is from just before its file is renamed into
//! place to the begin of the first `connect()` that the new endpoint answers; a connect takes about 0.1 ms, which is
//! the resolution. In a burst, 100 services change back to back and the last one is watched.

use crate::statistics::quantile;
use mesh_tests::agent::Agent;
use mesh_tests::error::Context;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::peer::{Mode, Server, monotonic_ns};
use mesh_tests::process::Process;
use mesh_tests::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a change may take before the benchmark gives up.
const LIMIT: Duration = Duration::from_secs(10);

/// Endpoints of each service.
const ENDPOINTS: u8 = 10;

/// Changes of a burst.
const BURST: u16 = 100;

/// Starts without services, whose time a start with them is compared with.
const IDLE_STARTS: u32 = 3;

/// Result of the benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct ChurnTimes {
    sizes: Vec<Size>,
}

/// With one number of services.
#[derive(Debug, Serialize)]
struct Size {
    services: u16,
    endpoints: u32,
    /// From the start of the agent to its being ready, in ms, less what an agent without manifests takes.
    load_ms: f64,
    /// One change, from its file event to the first connect that sees it, in ms.
    single_p50_ms: f64,
    single_p99_ms: f64,
    /// The last of a burst of 100, from its own file event, in ms.
    burst_p50_ms: f64,
    burst_p99_ms: f64,
    /// Resident memory of the agent at the end, in MiB.
    resident_mib: f64,
}

/// Measures with 100 and with 1,000 services.
pub(crate) fn bench(changes: u32, bursts: u32) -> Result<ChurnTimes> {
    let sizes = [100, 1_000].map(|services| measure(services, changes, bursts));
    Ok(ChurnTimes {
        sizes: sizes.into_iter().collect::<Result<_>>()?,
    })
}

fn measure(services: u16, changes: u32, bursts: u32) -> Result<Size> {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
    let pods = [
        network.add_pod(node.cgroup(), "callee-0", Families::V4)?,
        network.add_pod(node.cgroup(), "callee-1", Families::V4)?,
    ];
    let _servers = pods.iter().map(serve).collect::<Result<Vec<_>>>()?;
    let idle = idle_start(&node)?;
    // A burst ends with the service that single changes are made to.
    let watched = services - 1;
    for number in 0..services {
        node.config()
            .put(&file(number), &manifest(number, watched, &pods[0]))?;
    }
    let (agent, load) = start(&node)?;

    let mut watcher = watch(&caller, watched)?;
    let mut turn = 0;
    let mut single = Vec::new();
    for _ in 0..changes {
        turn += 1;
        single.push(change(
            &node,
            &mut watcher,
            watched,
            watched,
            &pods[turn % 2],
        )?);
    }
    let mut burst = Vec::new();
    for _ in 0..bursts {
        turn += 1;
        burst.push(change(
            &node,
            &mut watcher,
            services - BURST,
            watched,
            &pods[turn % 2],
        )?);
    }
    single.sort_by(f64::total_cmp);
    burst.sort_by(f64::total_cmp);
    Ok(Size {
        services,
        endpoints: u32::from(services) * u32::from(ENDPOINTS),
        load_ms: (load.as_secs_f64() - idle.as_secs_f64()) * 1e3,
        single_p50_ms: quantile(&single, 0.5),
        single_p99_ms: quantile(&single, 0.99),
        burst_p50_ms: quantile(&burst, 0.5),
        burst_p99_ms: quantile(&burst, 0.99),
        resident_mib: agent.metrics()?.sum("process_resident_memory_bytes", &[])
            / f64::from(1 << 20),
    })
}

fn serve(pod: &Pod) -> Result<Server> {
    let mut server = Server::start(pod)?;
    server.listen(SocketAddr::new(pod.ipv4(), 7_000), Mode::Flash, pod.name())?;
    Ok(server)
}

/// Starts an agent; gives how long it took to be ready.
fn start(node: &Node) -> Result<(Agent, Duration)> {
    let begin = Instant::now();
    let agent = node.start_agent(&[])?;
    Ok((agent, begin.elapsed()))
}

/// How long it takes until an agent without services is ready: the least of several times, as disturbances only add.
fn idle_start(node: &Node) -> Result<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..IDLE_STARTS {
        let (agent, took) = start(node)?;
        agent.terminate()?;
        least = least.min(took);
    }
    Ok(least)
}

/// Starts the process that watches who answers for a service.
fn watch(caller: &Pod, service: u16) -> Result<Process> {
    let own = std::env::current_exe().context(|| "find the running program")?;
    let mut command = Command::new(own);
    command
        .arg("watch")
        .arg(SocketAddr::new(cluster_ip(service), 80).to_string());
    let watcher = caller.spawn(command)?;
    watcher.line(LIMIT)?;
    Ok(watcher)
}

/// Moves services `first..=last` to another pod, back to back; gives the ms from the last one's event until it is seen.
fn change(node: &Node, watcher: &mut Process, first: u16, last: u16, pod: &Pod) -> Result<f64> {
    let texts: Vec<_> = (first..=last)
        .map(|number| (file(number), manifest(number, last, pod)))
        .collect();
    let mut written_ns = 0;
    for (name, text) in &texts {
        written_ns = node.config().put_at(name, text, monotonic_ns)?;
    }
    let line = watcher.line(LIMIT)?;
    let seen_ns: Option<u64> = line.split(' ').next().and_then(|word| word.parse().ok());
    let seen_ns = seen_ns.ok_or_else(|| Error::Unreadable {
        from: "mesh-bench watch".to_owned(),
        answer: line.clone(),
    })?;
    Ok(Duration::from_nanos(seen_ns.saturating_sub(written_ns)).as_secs_f64() * 1e3)
}

fn file(number: u16) -> String {
    format!("service-{number}.yaml")
}

fn cluster_ip(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 97, high, low).into()
}

/// A Service with one endpoint in `pod` and nine that nobody listens at. Of the one that is `watched` these are not
/// ready, so that the one answers for certain.
fn manifest(number: u16, watched: u16, pod: &Pod) -> String {
    let name = format!("service-{number}");
    let [high, low] = number.to_be_bytes();
    let others = (1..ENDPOINTS)
        .map(|host| Endpoint::ready(Ipv4Addr::new(10, 100 + host, high, low).into()))
        .map(|endpoint| endpoint.with_ready(number != watched));
    let endpoints = std::iter::once(Endpoint::ready(pod.ipv4())).chain(others);
    documents([
        Service::new(&name, &[&cluster_ip(number).to_string()])
            .port("grpc", 80)
            .manifest(),
        Slice::new(&name, "grpc", 7_000, endpoints).manifest(),
    ])
}

impl fmt::Display for ChurnTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "from a file event to the first connect() that sees it, in ms\n"
        )?;
        let head = [
            "SERVICES",
            "ENDPOINTS",
            "LOAD",
            "P50",
            "P99",
            "BURST P50",
            "BURST P99",
            "RSS MIB",
        ];
        writeln!(f, "{}", head.map(|name| format!("{name:>11}")).concat())?;
        for size in &self.sizes {
            write!(f, "{:>11}{:>11}", size.services, size.endpoints)?;
            for figure in [
                size.load_ms,
                size.single_p50_ms,
                size.single_p99_ms,
                size.burst_p50_ms,
                size.burst_p99_ms,
                size.resident_mib,
            ] {
                write!(f, "{figure:>11.2}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
