//! `mesh-bench`: what the mesh costs a `connect()` and an RPC, on both paths, and how soon a change of the manifests is in force.
//!
//! Run by `cargo xtask bench`; needs root. All traffic stays in namespaces of its own.

mod churn;
mod connect;
mod meter;
mod one_cpu;
mod output;
mod proxy;
mod rpcs;
mod statistics;
mod worker;

use clap::{Parser, Subcommand};
use mesh_tests::Result;
use rpcs::Load;
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Benchmarks of the mesh")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Latency of connect(): without the mesh, passed, attributed and rewritten, interleaved
    Connect {
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Slices per kind of connect
        #[arg(long, default_value_t = 40)]
        slices: u32,
        /// Connects per slice
        #[arg(long, default_value_t = 500)]
        connects: u32,
    },
    /// From a file event to the moment connect() sees it, with 100 and with 1,000 services
    Churn {
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Single changes per number of services
        #[arg(long, default_value_t = 300)]
        changes: u32,
        /// Bursts of 100 changes per number of services
        #[arg(long, default_value_t = 100)]
        bursts: u32,
    },
    /// CPU and latency of an RPC with and without the mesh, interleaved; memory of a metered socket; a large scrape
    Meter {
        /// Print one JSON object instead of tables
        #[arg(long)]
        json: bool,
        /// Slices per load and pair
        #[arg(long, default_value_t = 60)]
        slices: u32,
        /// Length of a slice
        #[arg(long, default_value_t = 200)]
        slice_ms: u32,
        /// Connections whose memory is measured
        #[arg(long, default_value_t = 2_000)]
        connections: u32,
    },
    /// The routed path beside no mesh, Envoy and HAProxy, interleaved: CPU and latency of an RPC, throughput, memory
    Proxy {
        /// Print one JSON object instead of tables
        #[arg(long)]
        json: bool,
        /// Slices per load and set-up
        #[arg(long, default_value_t = 40)]
        slices: u32,
        /// Length of a slice
        #[arg(long, default_value_t = 200)]
        slice_ms: u32,
        /// Idle connections whose memory is measured
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        connections: u32,
    },
    /// Makes RPCs without pause for as long as told on standard input
    #[command(hide = true)]
    Rpcs {
        /// The server
        target: SocketAddr,
        /// Connections
        connections: u32,
        /// RPCs at a time on each
        streams: u32,
        /// Bytes of each request and of each reply
        bytes: u32,
    },
    /// Times connects as told on standard input
    #[command(hide = true)]
    Time,
    /// Reports each time another endpoint answers, for every target
    #[command(hide = true)]
    Watch {
        /// Where to connect, without pause and in turn
        targets: Vec<SocketAddr>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().bench) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(bench: Bench) -> Result {
    match bench {
        Bench::Connect {
            json,
            slices,
            connects,
        } => output::print(&connect::bench(slices, connects)?, json),
        Bench::Churn {
            json,
            changes,
            bursts,
        } => output::print(&churn::bench(changes, bursts)?, json),
        Bench::Meter {
            json,
            slices,
            slice_ms,
            connections,
        } => output::print(&meter::bench(slices, slice_ms, connections)?, json),
        Bench::Proxy {
            json,
            slices,
            slice_ms,
            connections,
        } => output::print(&proxy::bench(slices, slice_ms, connections)?, json),
        Bench::Rpcs {
            target,
            connections,
            streams,
            bytes,
        } => rpcs::make(
            target,
            Load {
                connections,
                streams,
                bytes,
            },
        ),
        Bench::Time => worker::time(),
        Bench::Watch { targets } => worker::watch(&targets),
    }
}
