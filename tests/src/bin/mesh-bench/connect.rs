//! What the mesh adds to `connect()`.
//!
//! Two processes in one network namespace take turns in slices, one outside the mesh's cgroup, one inside; what is
//! compared stands next to each other in time.

use crate::statistics::{Spread, quantile};
use mesh_tests::cgroup::Cgroup;
use mesh_tests::error::Context;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents};
use mesh_tests::network::{Families, Network};
use mesh_tests::node::Node;
use mesh_tests::peer::{Mode, Server};
use mesh_tests::process::Process;
use mesh_tests::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

/// How long one slice may take.
const SLICE_LIMIT: Duration = Duration::from_secs(60);

const CLUSTER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

/// The kinds of connect, the first being what the others are compared with.
const KINDS: [&str; 4] = [
    "outside the mesh",
    "passed by",
    "straight to an endpoint",
    "rewritten to an endpoint",
];

/// Result of the benchmark; times in µs.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectTimes {
    slices: u32,
    connects_per_slice: u32,
    kinds: Vec<Kind>,
}

/// One kind of connect.
#[derive(Debug, Serialize)]
struct Kind {
    kind: &'static str,
    p50_us: Spread,
    p99_us: Spread,
    /// More than outside the mesh, slice by slice.
    added_p50_us: Spread,
    added_p99_us: Spread,
}

/// Measures in `slices` slices of `connects` connects of each kind.
pub(crate) fn bench(slices: u32, connects: u32) -> Result<ConnectTimes> {
    let node = Node::new("node-a")?;
    let outside = Cgroup::new()?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller", Families::V4)?;
    let callee = network.add_pod(node.cgroup(), "callee", Families::V4)?;
    let endpoint = SocketAddr::new(callee.ipv4(), 7_000);
    let stranger = SocketAddr::new(callee.ipv4(), 7_001);
    let mut server = Server::start(&callee)?;
    server.listen(endpoint, Mode::Flash, "endpoint")?;
    server.listen(stranger, Mode::Flash, "stranger")?;
    node.config().put(
        "echo.yaml",
        &documents([
            Service::new("echo", &[&CLUSTER_IP.to_string()])
                .port("grpc", 80)
                .manifest(),
            Slice::new("echo", "grpc", 7_000, [Endpoint::ready(callee.ipv4())]).manifest(),
        ]),
    )?;
    let _agent = node.start_agent(&[])?;

    let mut strange = Process::spawn(worker()?, &outside, Some(caller.namespace()))?;
    let mut member = caller.spawn(worker()?)?;
    let service = SocketAddr::new(CLUSTER_IP, 80);
    let mut times: [Vec<[f64; 2]>; KINDS.len()] = Default::default();
    // The first round warms up caches and is thrown away. Every round begins with another kind: what a slice finds
    // of its predecessor's in the caches is then shared out evenly.
    for round in 0..=slices as usize {
        for turn in 0..KINDS.len() {
            let kind = (round + turn) % KINDS.len();
            let quantiles = match kind {
                0 => ask(&mut strange, stranger, connects)?,
                1 => ask(&mut member, stranger, connects)?,
                2 => ask(&mut member, endpoint, connects)?,
                _ => ask(&mut member, service, connects)?,
            };
            if round > 0 {
                times[kind].push(quantiles);
            }
        }
    }
    let kinds = KINDS
        .into_iter()
        .zip(&times)
        .map(|(kind, own)| summarize(kind, own, &times[0]));
    Ok(ConnectTimes {
        slices,
        connects_per_slice: connects,
        kinds: kinds.collect(),
    })
}

fn worker() -> Result<Command> {
    let own = std::env::current_exe().context(|| "find the running program")?;
    let mut command = Command::new(own);
    command.arg("time");
    Ok(command)
}

/// One slice: p50 and p99 in µs.
fn ask(worker: &mut Process, target: SocketAddr, connects: u32) -> Result<[f64; 2]> {
    worker.say(&format!("{target} {connects}"))?;
    let line = worker.line(SLICE_LIMIT)?;
    let mut times: Vec<f64> = serde_json::from_str(&line).map_err(|error| Error::Unreadable {
        from: "mesh-bench time".to_owned(),
        answer: format!("{error}: {line}"),
    })?;
    times.sort_by(f64::total_cmp);
    Ok([quantile(&times, 0.5) / 1e3, quantile(&times, 0.99) / 1e3])
}

fn summarize(kind: &'static str, own: &[[f64; 2]], baseline: &[[f64; 2]]) -> Kind {
    let absolute = |which: usize| Spread::of(own.iter().map(|slice| slice[which]));
    let added = |which: usize| {
        Spread::of(
            own.iter()
                .zip(baseline)
                .map(|(slice, base)| slice[which] - base[which]),
        )
    };
    Kind {
        kind,
        p50_us: absolute(0),
        p99_us: absolute(1),
        added_p50_us: added(0),
        added_p99_us: added(1),
    }
}

impl fmt::Display for ConnectTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "connect() in µs: median of {} slices of {} connects (quartiles of the slices)\n",
            self.slices, self.connects_per_slice,
        )?;
        let [kind, p50, p99] = ["KIND", "P50", "P99"];
        writeln!(
            f,
            "{kind:<26}{p50:<22}{p99:<22}{:<22}{:<22}",
            "ADDED P50", "ADDED P99"
        )?;
        for Kind {
            kind,
            p50_us,
            p99_us,
            added_p50_us,
            added_p99_us,
        } in &self.kinds
        {
            writeln!(
                f,
                "{kind:<26}{p50_us:<22}{p99_us:<22}{added_p50_us:<22}{added_p99_us:<22}"
            )?;
        }
        Ok(())
    }
}
