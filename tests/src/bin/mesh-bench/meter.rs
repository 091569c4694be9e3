//! What the mesh adds to an RPC: CPU, latency and kernel memory, and what a large scrape costs.
//!
//! Three pairs of pods, each a client and a server in network namespaces of their own, take turns in slices: one pair
//! in the mesh and two that are not. What the two differ by is the spread that no mesh can be held against. Clients and
//! servers share one CPU: there are no wake-ups across CPUs, and no time in which nobody works. The agent has the others.

mod memory;
mod pairs;
mod scrape;

use crate::rpcs::Slice;
use crate::statistics::{Spread, quantile};
use memory::Memory;
use mesh_tests::Result;
use pairs::{Pairs, Worked};
use scrape::Scrape;
use serde::Serialize;
use std::fmt;

/// The pairs; the first is what the others are compared with.
const PAIRS: [&str; 3] = ["without", "without, again", "in the mesh"];

/// Connections and RPCs at a time on each, by name.
const LOADS: [(&str, u32, u32); 2] = [("serial, 1 x 1", 1, 1), ("loaded, 8 x 8", 8, 8)];

/// Result of the benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct MeterCosts {
    slices: u32,
    slice_ms: u32,
    loads: Vec<Load>,
    memory: Memory,
    scrape: Scrape,
}

/// One load; figures in µs.
#[derive(Debug, Serialize)]
struct Load {
    load: &'static str,
    /// RPCs of each pair.
    rpcs: [u64; PAIRS.len()],
    failed: u64,
    figures: Vec<Figure>,
    /// CPU of the agent while the pair in the mesh had its turn, in per cent of the time: it does not grow with the RPCs.
    agent_percent: f64,
}

/// One figure: of the first pair, and the others against it, slice by slice.
#[derive(Debug, Serialize)]
struct Figure {
    figure: &'static str,
    without_us: Spread,
    again_ratio: Spread,
    mesh_ratio: Spread,
    again_added_us: Spread,
    mesh_added_us: Spread,
}

/// Measures.
pub(crate) fn bench(slices: u32, slice_ms: u32, connections: u32) -> Result<MeterCosts> {
    let pairs = Pairs::new()?;
    let loads = LOADS
        .into_iter()
        .map(|(name, connections, streams)| {
            let worked = pairs.work(connections, streams, slices, slice_ms)?;
            Ok(summarize(name, &worked))
        })
        .collect::<Result<_>>()?;
    Ok(MeterCosts {
        slices,
        slice_ms,
        loads,
        memory: memory::measure(&pairs, connections)?,
        scrape: scrape::measure(&pairs)?,
    })
}

/// Names of a slice's figures, as [`figures`] gives them.
const FIGURES: [&str; 4] = ["CPU per RPC", "time per RPC", "p50", "p99"];

/// A slice's figures in µs. The CPU is that of both processes: what the kernel does for them is booked to them.
fn figures(slice: &Slice, server_cpu_us: u64) -> [f64; FIGURES.len()] {
    #[expect(clippy::cast_precision_loss, reason = "ns of a slice")]
    let [rpcs, wall, client, server] = [
        slice.rpcs.max(1),
        slice.wall_ns,
        slice.cpu_ns,
        server_cpu_us,
    ]
    .map(|figure| figure as f64);
    let times: Vec<_> = slice.times_ns.iter().copied().map(f64::from).collect();
    [
        (client / 1e3 + server) / rpcs,
        wall / 1e3 / rpcs,
        quantile(&times, 0.5) / 1e3,
        quantile(&times, 0.99) / 1e3,
    ]
}

fn summarize(load: &'static str, worked: &Worked) -> Load {
    let slices: [Vec<_>; PAIRS.len()] = worked.slices.each_ref().map(|pair| {
        let figures = pair.iter().map(|(slice, server)| figures(slice, *server));
        figures.collect()
    });
    let figure = |(index, figure): (usize, &'static str)| {
        let of = |pair: usize| slices[pair].iter().map(move |slice| slice[index]);
        let ratio = |pair: usize| Spread::of(of(pair).zip(of(0)).map(|(own, base)| own / base));
        let added = |pair: usize| Spread::of(of(pair).zip(of(0)).map(|(own, base)| own - base));
        Figure {
            figure,
            without_us: Spread::of(of(0)),
            again_ratio: ratio(1),
            mesh_ratio: ratio(2),
            again_added_us: added(1),
            mesh_added_us: added(2),
        }
    };
    let sum = |of: fn(&Slice) -> u64| {
        worked
            .slices
            .each_ref()
            .map(|pair| pair.iter().map(|(slice, _)| of(slice)).sum::<u64>())
    };
    let rpcs = sum(|slice| slice.rpcs);
    let time_ns = sum(|slice| slice.wall_ns)[PAIRS.len() - 1].max(1);
    #[expect(clippy::cast_precision_loss, reason = "times of a minute")]
    let agent_percent = worked.agent_cpu_us as f64 * 1e5 / time_ns as f64;
    Load {
        load,
        rpcs,
        failed: sum(|slice| slice.failed).iter().sum(),
        figures: FIGURES.into_iter().enumerate().map(figure).collect(),
        agent_percent,
    }
}

impl fmt::Display for MeterCosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "unary RPCs of 1 KiB each way on one CPU: medians of {} slices of {} ms (quartiles)\n",
            self.slices, self.slice_ms
        )?;
        for load in &self.loads {
            write!(f, "{load}")?;
        }
        write!(f, "{}\n{}", self.memory, self.scrape)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<15}{:<24}{:<24}{:<24}{:<22}{:<22}",
            self.load,
            "WITHOUT, US",
            "AGAIN / WITHOUT",
            "MESH / WITHOUT",
            "AGAIN ADDS",
            "MESH ADDS"
        )?;
        for figure in &self.figures {
            writeln!(
                f,
                "{:<15}{:<24.1}{:<24.3}{:<24.3}{:<22.2}{:<22.2}",
                figure.figure,
                figure.without_us,
                figure.again_ratio,
                figure.mesh_ratio,
                figure.again_added_us,
                figure.mesh_added_us
            )?;
        }
        let rpcs: Vec<_> = PAIRS
            .iter()
            .zip(self.rpcs)
            .map(|(pair, rpcs)| format!("{rpcs} {pair}"))
            .collect();
        writeln!(
            f,
            "RPCs: {}; {} failed; the agent meanwhile used {:.2} % of a CPU\n",
            rpcs.join(", "),
            self.failed,
            self.agent_percent
        )
    }
}
