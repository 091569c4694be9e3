//! What the routed path costs beside no mesh at all, the real Envoy and the real `HAProxy`.
//!
//! Four pairs of pods, each a client and a server in network namespaces of their own, take turns in slices. The proxies stand
//! where the mesh's own does, in the client's namespace, and connect to the server from there. Clients, servers and proxies
//! share one CPU, so that time per RPC is CPU per RPC, whoever spent it.

mod contenders;
mod memory;
mod rivals;

use crate::rpcs::Load;
use crate::statistics::{Spread, quantile};
use contenders::{Contenders, Turn};
use memory::Memory;
use mesh_tests::Result;
use serde::Serialize;
use std::fmt;

/// The set-ups; the first is what the others are compared with.
const SETUPS: [&str; 4] = ["no mesh", "mesh, routed", "Envoy", "HAProxy"];
const MESH: usize = 1;
const ENVOY: usize = 2;

/// What clients do, by name.
const LOADS: [(&str, Load); 3] = [
    ("serial, 1 x 1, 1 KiB", load(1, 1, 1_024)),
    ("loaded, 8 x 8, 1 KiB", load(8, 8, 1_024)),
    ("large, 1 x 4, 1 MiB", load(1, 4, 1 << 20)),
];

const fn load(connections: u32, streams: u32, bytes: u32) -> Load {
    Load {
        connections,
        streams,
        bytes,
    }
}

/// Result of the benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct ProxyCosts {
    slices: u32,
    slice_ms: u32,
    loads: Vec<Loaded>,
    memory: Vec<Memory>,
}

/// One load.
#[derive(Debug, Serialize)]
struct Loaded {
    load: &'static str,
    /// RPCs of each set-up.
    rpcs: [u64; SETUPS.len()],
    failed: u64,
    figures: Vec<Figure>,
}

/// One figure of all set-ups, compared slice by slice.
#[derive(Debug, Serialize)]
struct Figure {
    figure: &'static str,
    /// Of each set-up.
    own: [Spread; SETUPS.len()],
    /// Against no mesh.
    ratio: [Spread; SETUPS.len()],
    /// The mesh against each set-up.
    mesh_ratio: [Spread; SETUPS.len()],
    /// What the mesh adds to no mesh, against what Envoy adds.
    added_to_envoys: Spread,
}

/// Measures.
pub(crate) fn bench(slices: u32, slice_ms: u32, connections: u32) -> Result<ProxyCosts> {
    let contenders = Contenders::new()?;
    let loads = LOADS
        .into_iter()
        .map(|(name, load)| {
            Ok(summarize(
                name,
                &contenders.work(load, slices, slice_ms)?,
                load,
            ))
        })
        .collect::<Result<_>>()?;
    Ok(ProxyCosts {
        slices,
        slice_ms,
        loads,
        memory: memory::measure(&contenders, connections)?,
    })
}

/// Names of a slice's figures, as [`figures`] gives them.
const FIGURES: [&str; 5] = ["CPU/RPC us", "time/RPC us", "p50 us", "p99 us", "MiB/s"];

fn figures(turn: &Turn, load: Load) -> [f64; FIGURES.len()] {
    #[expect(clippy::cast_precision_loss, reason = "ns and bytes of a slice")]
    let [rpcs, all_rpcs, wall_us, cpu_us] = [
        turn.slice.rpcs.max(1),
        turn.slice.rpcs_with_warm_up.max(1),
        turn.slice.wall_ns / 1_000,
        turn.cpu_us,
    ]
    .map(|figure| figure as f64);
    let times: Vec<_> = turn.slice.times_ns.iter().copied().map(f64::from).collect();
    let mib = rpcs * 2.0 * f64::from(load.bytes) / f64::from(1 << 20);
    [
        cpu_us / all_rpcs,
        wall_us / rpcs,
        quantile(&times, 0.5) / 1e3,
        quantile(&times, 0.99) / 1e3,
        mib / (wall_us / 1e6),
    ]
}

fn summarize(name: &'static str, worked: &[Vec<Turn>; SETUPS.len()], load: Load) -> Loaded {
    let slices = worked.each_ref().map(|turns| {
        let figures = turns.iter().map(|turn| figures(turn, load));
        figures.collect::<Vec<_>>()
    });
    let figure = |(index, figure): (usize, &'static str)| {
        let of = |setup: usize| slices[setup].iter().map(move |slice| slice[index]);
        let all: [usize; SETUPS.len()] = std::array::from_fn(|setup| setup);
        let against = |own: usize, base: usize| {
            Spread::of(of(own).zip(of(base)).map(|(own, base)| own / base))
        };
        let added = |setup: usize| of(setup).zip(of(0)).map(|(own, base)| own - base);
        Figure {
            figure,
            own: all.map(|setup| Spread::of(of(setup))),
            ratio: all.map(|setup| against(setup, 0)),
            mesh_ratio: all.map(|setup| against(MESH, setup)),
            added_to_envoys: Spread::of(
                added(MESH).zip(added(ENVOY)).map(|(own, base)| own / base),
            ),
        }
    };
    let sum = |of: fn(&Turn) -> u64| worked.each_ref().map(|turns| turns.iter().map(of).sum());
    Loaded {
        load: name,
        rpcs: sum(|turn| turn.slice.rpcs),
        failed: sum(|turn| turn.slice.failed).iter().sum(),
        figures: FIGURES.into_iter().enumerate().map(figure).collect(),
    }
}

impl fmt::Display for ProxyCosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "unary RPCs on one CPU: medians of {} slices of {} ms (quartiles); CPU is all there is: client, server, proxy, kernel\n",
            self.slices, self.slice_ms
        )?;
        for load in &self.loads {
            writeln!(f, "{load}")?;
        }
        for memory in &self.memory {
            writeln!(f, "{memory}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, figure: &str, what: &str, cells: &[String]| {
            write!(f, "{figure:<13}{what:<12}")?;
            for cell in cells {
                write!(f, "{cell:<28}")?;
            }
            writeln!(f)
        };
        writeln!(f, "{}", self.load)?;
        row(f, "", "", &SETUPS.map(str::to_owned))?;
        for figure in &self.figures {
            let cells = |spreads: &[Spread; SETUPS.len()], digits: usize| {
                spreads.map(|spread| format!("{spread:.digits$}"))
            };
            row(f, figure.figure, "", &cells(&figure.own, 1))?;
            row(f, "", "÷ no mesh", &cells(&figure.ratio, 2))?;
            row(f, "", "mesh ÷ it", &cells(&figure.mesh_ratio, 2))?;
            let added = format!("{:.2}", figure.added_to_envoys);
            row(f, "", "adds", &[format!("mesh ÷ Envoy: {added}")])?;
        }
        let rpcs: Vec<_> = SETUPS
            .iter()
            .zip(self.rpcs)
            .map(|(setup, rpcs)| format!("{rpcs} {setup}"))
            .collect();
        writeln!(f, "RPCs: {}; {} failed", rpcs.join(", "), self.failed)
    }
}
