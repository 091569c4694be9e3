//! Half a million connections while endpoints come, go and are replaced without pause.
//!
//! Every server says which service, pod and port it is, and no listener ever changes its service. Every attempt is
//! recorded with its times, every change with the moment before it was written and the moment at which the agent had
//! applied it. An endpoint is allowed from the first to the second. The bound is therefore zero:
//! a `connect()` that begins after the agent says "applied" must not reach a removed endpoint, not once.

use mesh_tests::Result;
use mesh_tests::agent::Agent;
use mesh_tests::deadline::eventually;
use mesh_tests::manifest::{Endpoint, Service, Slice, documents, workload};
use mesh_tests::metrics::Metrics;
use mesh_tests::network::{Families, Network, Pod};
use mesh_tests::node::Node;
use mesh_tests::peer::{
    Client, Dial, Ending, Exchange, Mode, Record, Server, SocketOptions, monotonic_ns,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SERVICES: usize = 4;
const PODS: usize = 3;
const PORTS: usize = 4;

/// Endpoints that one service can have.
const PLACES: usize = PODS * PORTS;

/// Connections by IPv4, by IPv4 through IPv6 sockets, and by IPv6.
const COUNTS: [u64; 3] = [200_000, 150_000, 150_000];

/// Maps that hold nothing but what the manifests say, or what is counted for it.
const MAPS: [&str; 8] = [
    "FRONTENDS",
    "SERVICES",
    "TABLE_ROWS",
    "ENDPOINTS",
    "ENDPOINT_ADDRS",
    "WORKLOAD_ADDRS",
    "NETNS_SOURCES",
    "CONNECTIONS",
];

fn target(service: usize, is_ipv6: bool) -> SocketAddr {
    let number = u8::try_from(service + 1).expect("a handful of services");
    let ip: IpAddr = if is_ipv6 {
        Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, u16::from(number)).into()
    } else {
        Ipv4Addr::new(10, 96, 0, number).into()
    };
    SocketAddr::new(ip, 80)
}

fn port(service: usize, place: usize) -> u16 {
    let number = service * PORTS + place / PODS;
    7_000 + u16::try_from(number).expect("a handful of ports")
}

/// Who an endpoint says it is.
fn identity(service: usize, place: usize) -> String {
    format!("{service}/{place}")
}

/// When an endpoint stood in the manifests: from before it was written to after its removal was applied.
#[derive(Clone, Copy, Debug)]
struct Term {
    from_ns: u64,
    to_ns: u64,
}

/// The manifests' history.
struct Churn<'a> {
    node: &'a Node,
    agent: &'a Agent,
    pods: &'a [Pod],
    random: u64,
    in_force: [u32; SERVICES],
    terms: BTreeMap<String, Vec<Term>>,
    changes: u64,
}

impl Churn<'_> {
    /// Gives a service other endpoints: any subset of its places but the empty one.
    fn change(&mut self, service: usize) -> Result {
        let places = loop {
            let places = self.roll() & ((1 << PLACES) - 1);
            if places != 0 && places != self.in_force[service] {
                break places;
            }
        };
        let text = self.manifest(service, places);
        let old = self.in_force[service];
        let from_ns = monotonic_ns();
        self.agent.apply(self.node.config(), |config| {
            config.put(&format!("{service}.yaml"), &text)
        })?;
        let to_ns = monotonic_ns();
        for place in 0..PLACES {
            let terms = self.terms.entry(identity(service, place)).or_default();
            let (was, is) = (old >> place & 1 == 1, places >> place & 1 == 1);
            if is && !was {
                terms.push(Term {
                    from_ns,
                    to_ns: u64::MAX,
                });
            }
            if was
                && !is
                && let Some(term) = terms.last_mut()
            {
                term.to_ns = to_ns;
            }
        }
        self.in_force[service] = places;
        self.changes += 1;
        Ok(())
    }

    fn manifest(&self, service: usize, places: u32) -> String {
        let name = format!("service-{service}");
        let ips = [false, true].map(|is_ipv6| target(service, is_ipv6).ip().to_string());
        let object = Service::new(&name, &[&ips[0], &ips[1]]).port("grpc", 80);
        let mut manifests = vec![object.manifest()];
        for row in 0..PORTS {
            let first = row * PODS;
            let pods = (0..PODS)
                .filter(|pod| places >> (first + pod) & 1 == 1)
                .map(|pod| &self.pods[pod]);
            let port = port(service, first);
            let v4 = pods
                .clone()
                .map(|pod| Endpoint::ready(pod.ipv4()).pod(pod.name()));
            let v6 = pods.map(|pod| Endpoint::ready(pod.ipv6()).pod(pod.name()));
            let slices = [
                Slice::new(&name, "grpc", port, v4),
                Slice::new(&name, "grpc", port, v6),
            ];
            let present = slices.iter().filter(|slice| !slice.is_empty());
            manifests.extend(present.map(Slice::manifest));
        }
        documents(manifests)
    }

    /// xorshift32: the same changes in every run.
    fn roll(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random >> 32).expect("the upper half")
    }
}

#[test]
fn half_a_million_connects_under_churn_reach_current_endpoints_of_their_service() -> Result {
    let node = Node::new("node-a")?;
    let mut network = Network::new()?;
    let caller = network.add_pod(node.cgroup(), "caller-0", Families::Dual)?;
    let pods = (0..PODS)
        .map(|number| network.add_pod(node.cgroup(), &format!("callee-{number}"), Families::Dual))
        .collect::<Result<Vec<_>>>()?;
    let _servers = pods
        .iter()
        .enumerate()
        .map(|(pod, place)| serve(pod, place))
        .collect::<Result<Vec<_>>>()?;
    let agent = node.start_agent(&[])?;
    let empty = fill(&agent.metrics()?);
    agent.apply(node.config(), |config| {
        config.put(
            "caller.yaml",
            &workload("caller", &[caller.ipv4(), caller.ipv6()]),
        )
    })?;
    let mut churn = Churn {
        node: &node,
        agent: &agent,
        pods: &pods,
        random: 0x9e37_79b9_7f4a_7c15,
        in_force: [0; SERVICES],
        terms: BTreeMap::new(),
        changes: 0,
    };
    (0..SERVICES).try_for_each(|service| churn.change(service))?;

    let (records, dials) = dials(&node.config().scratch());
    let mut clients = dials
        .iter()
        .map(|dial| Client::start(&caller, dial))
        .collect::<Result<Vec<_>>>()?;
    while clients.iter_mut().any(Client::is_running) {
        for service in 0..SERVICES {
            churn.change(service)?;
        }
    }
    for client in &clients {
        let report = client.report()?;
        assert!(
            report.failed.is_empty() && report.broken.is_empty(),
            "{report:?}"
        );
        assert_eq!(report.foreign_peers, 0);
    }
    println!("{} changes", churn.changes);
    assert!(
        churn.changes > 500,
        "too few changes to mean anything: {}",
        churn.changes
    );
    let connections = records
        .iter()
        .map(|path| check(path, &churn.terms))
        .sum::<Result<u64>>()?;
    assert_eq!(connections, COUNTS.iter().sum::<u64>());

    let checked = check_counters(&agent, connections);
    if checked.is_err() {
        // Of so many a single one is hard to find otherwise.
        println!("open: {}", agent.api("connections")?);
        println!("counted: {:?}", agent.metrics()?);
        for table in ["tcp", "tcp6"] {
            let path = format!("/proc/thread-self/net/{table}");
            let sockets = caller.namespace().enter(|| std::fs::read_to_string(path))?;
            println!("the caller's {table}: {sockets:?}");
        }
    }
    checked?;
    await_empty(&node, &agent, &empty)
}

fn serve(number: usize, pod: &Pod) -> Result<Server> {
    let mut server = Server::start(pod)?;
    for service in 0..SERVICES {
        for place in (number..PLACES).step_by(PODS) {
            for ip in [pod.ipv4(), pod.ipv6()] {
                let address = SocketAddr::new(ip, port(service, place));
                server.listen(address, Mode::Flash, &identity(service, place))?;
            }
        }
    }
    Ok(server)
}

fn dials(scratch: &Path) -> (Vec<PathBuf>, Vec<Dial>) {
    let mapped = SocketOptions {
        v4_mapped: true,
        ..SocketOptions::default()
    };
    let kinds = [
        (SocketOptions::default(), false),
        (mapped, false),
        (SocketOptions::default(), true),
    ];
    kinds
        .into_iter()
        .zip(COUNTS)
        .enumerate()
        .map(|(number, ((socket, is_ipv6), count))| {
            let record = scratch.join(format!("record-{number}"));
            let mut dial = Dial::new((0..SERVICES).map(|service| target(service, is_ipv6)))
                .count(count)
                .socket(socket)
                .exchange(Exchange::Banner)
                .ending(Ending::Reset);
            dial.record = Some(record.clone());
            (record, dial)
        })
        .unzip()
}

/// Holds every attempt of a record against the history; gives how many there were.
fn check(record: &Path, terms: &BTreeMap<String, Vec<Term>>) -> Result<u64> {
    let text = std::fs::read_to_string(record).map_err(|source| mesh_tests::Error::Io {
        attempt: format!("read {}", record.display()),
        source,
    })?;
    let mut count = 0;
    for line in text.lines() {
        let record = Record::parse(line).unwrap_or_else(|| panic!("a broken record: {line}"));
        let service = record.outcome.split('/').next();
        assert_eq!(
            service,
            Some(&*record.target.to_string()),
            "another service's endpoint: {line}"
        );
        let terms = terms.get(&record.outcome).map_or(&[][..], Vec::as_slice);
        let is_allowed = terms
            .iter()
            .any(|term| term.from_ns <= record.ended_ns && record.started_ns <= term.to_ns);
        assert!(
            is_allowed,
            "reached an endpoint out of its terms: {line}, {terms:?}"
        );
        count += 1;
    }
    Ok(count)
}

/// Every connection is counted, and nothing that must not happen has.
fn check_counters(agent: &Agent, connections: u64) -> Result {
    for reason in [
        "torn_table",
        "unpublished",
        "no_endpoint",
        "connections_full",
        "connection_row_missing",
    ] {
        agent.expect("mesh_kernel_decisions_total", &[("reason", reason)], 0)?;
    }
    let caller = [("source_workload", "caller")];
    agent.expect("mesh_connection_opened_total", &caller, connections)?;
    agent.expect("mesh_connection_closed_total", &caller, connections)
}

/// Entries of [`MAPS`].
fn fill(metrics: &Metrics) -> Vec<(&'static str, u64)> {
    MAPS.iter()
        .map(|&map| (map, metrics.count("mesh_bpf_map_entries", &[("map", map)])))
        .collect()
}

/// Removes every manifest and awaits the fill there was before the first.
fn await_empty(node: &Node, agent: &Agent, empty: &[(&'static str, u64)]) -> Result {
    for map in ["FRONTENDS", "ENDPOINTS", "ENDPOINT_ADDRS", "CONNECTIONS"] {
        assert!(
            empty.contains(&(map, 0)),
            "{map} is not empty without a manifest: {empty:?}"
        );
    }
    node.config().remove("caller.yaml")?;
    for service in 0..SERVICES {
        node.config().remove(&format!("{service}.yaml"))?;
    }
    // Ids rest for a second before they are free, and rows of retired destinations go with a later tick.
    eventually("maps as empty as before", Duration::from_secs(15), || {
        let now = fill(&agent.metrics().map_err(|error| error.to_string())?);
        if now == empty {
            Ok(())
        } else {
            Err(format!("{now:?} instead of {empty:?}"))
        }
    })
}
