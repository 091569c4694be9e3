//! Prints what loading and changing a large configuration costs: time, and heap of the catalog.
//!
//! `cargo run --release --example measure_config [services] [endpoints per service]`
#![expect(clippy::print_stdout, reason = "it prints its measurements")]

use mesh_agent::config::parse_file;
use mesh_agent::model::NodeIdentity;
use mesh_agent::plan::Catalog;
use mesh_agent::source::file::read_directory;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Changes measured.
const CHANGES: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let services = arguments.next().unwrap_or(Ok(1_000))?;
    let endpoints = arguments.next().unwrap_or(Ok(10))?;
    let directory = std::env::temp_dir().join(format!("measure-config-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let outcome = measure(&directory, services, endpoints);
    std::fs::remove_dir_all(&directory)?;
    outcome
}

fn measure(
    directory: &Path,
    services: usize,
    endpoints: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    for service in 0..services {
        let text = service_text(service) + "---\n" + &slice_text(service, endpoints, 0);
        std::fs::write(directory.join(format!("service-{service}.yaml")), text)?;
    }
    let resident_before = resident_kib()?;
    let start = Instant::now();
    let batch = read_directory(directory)?;
    let read = start.elapsed();
    let mut catalog = Catalog::new(NodeIdentity::named("node-1"));
    let update = catalog.set_files(batch.files.into_iter().collect());
    println!(
        "{services} services with {endpoints} endpoints each: read and parsed in {read:?}, compiled in {:?}, {} changes",
        start.elapsed() - read,
        update.changes.len()
    );
    drop(update);
    println!(
        "resident: {} KiB before, {} KiB after",
        resident_before,
        resident_kib()?
    );
    for problem in catalog.problems().iter().take(3) {
        println!("{problem}");
    }
    let (mut parse, mut apply) = (Vec::new(), Vec::new());
    for change in 1..=CHANGES {
        let service = change * 7 % services;
        let text = service_text(service) + "---\n" + &slice_text(service, endpoints, change);
        let path = directory.join(format!("service-{service}.yaml"));
        let start = Instant::now();
        let parsed = parse_file(&path, text.as_bytes());
        parse.push(start.elapsed());
        let start = Instant::now();
        let update = catalog.set_file(&path, Some(parsed));
        apply.push(start.elapsed());
        assert_eq!(
            update.changes.len(),
            1,
            "a changed slice changes one service"
        );
    }
    println!("one changed file: parse {}", percentiles(&mut parse));
    println!(
        "one changed file: compile and diff {}",
        percentiles(&mut apply)
    );
    Ok(())
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100))
}

fn resident_kib() -> io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line
        .unwrap_or("?")
        .trim()
        .trim_end_matches(" kB")
        .to_owned())
}

fn service_text(service: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: service-{service}, namespace: shop}}\nspec:\n  \
         clusterIP: 10.96.{}.{}\n  ports: [{{name: grpc, port: 50051, appProtocol: grpc}}]\n",
        service / 250,
        service % 250 + 1
    )
}

fn slice_text(service: usize, endpoints: usize, change: usize) -> String {
    let mut text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: service-{service}-abcde\n  \
         namespace: shop\n  labels: {{kubernetes.io/service-name: service-{service}}}\naddressType: IPv4\n\
         ports: [{{name: grpc, port: {}}}]\nendpoints:\n",
        10_000 + change
    );
    for endpoint in 0..endpoints {
        let host = service * endpoints + endpoint;
        let (a, b, c) = (host >> 16, (host >> 8) & 255, host & 255);
        // Writing to a String cannot fail.
        writeln!(
            text,
            "  - addresses: [10.{}.{b}.{c}]\n    conditions: {{ready: true, serving: true, terminating: false}}\n    \
             nodeName: node-{}\n    zone: zone-{}\n    \
             targetRef: {{kind: Pod, name: service-{service}-6d4b75cb6d-hx{}, namespace: shop}}",
            128 + a,
            endpoint % 50,
            endpoint % 3,
            ["8kz", "4bc", "7df"][endpoint % 3],
        )
        .ok();
    }
    text
}
