//! What an idle connection takes in a proxy, with the connection upstream that belongs to it.

use super::SETUPS;
use super::contenders::{Contenders, Server};
use mesh_tests::deadline::eventually;
use mesh_tests::error::Context;
use mesh_tests::load::{Call, Load, Plan, Width};
use mesh_tests::rpc::Implementation::Tonic;
use mesh_tests::{Error, Result};
use serde::Serialize;
use std::time::Duration;
use std::{fmt, fs};

/// How long each RPC takes, so that all are under way at a time and none waits for another's connection.
const HELD_US: u32 = 15_000_000;

/// RPCs that begin at once. The mesh's proxy refuses those that have no connection upstream within a second, which many hundreds
/// may not have on a slow machine.
const BATCH: u32 = 100;

/// How long a batch may take until each RPC has its connection.
const BATCH_LIMIT: Duration = Duration::from_secs(10);

/// Memory of a proxy per idle connection.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    setup: &'static str,
    connections: u32,
    /// Resident, before the first of them.
    before_kib: u64,
    /// Resident more with them, for each of them.
    each_kib: f64,
}

/// Measures with so many connections at a time.
pub(super) fn measure(contenders: &Contenders, connections: u32) -> Result<Vec<Memory>> {
    let mut all = Vec::new();
    for (setup, name) in SETUPS.into_iter().enumerate() {
        let Some(proxy) = contenders.proxy(setup) else {
            continue;
        };
        let before = resident_kib(proxy)?;
        let clients = hold(contenders, setup, connections)?;
        for client in &clients {
            let truth = client.truth()?;
            if truth.wrong > 0 {
                return Err(Error::Unreadable {
                    from: format!("mesh-rpc load, {name}"),
                    answer: format!("{} wrong, {:?}", truth.wrong, truth.first_wrong),
                });
            }
        }
        let grown = resident_kib(proxy)?.saturating_sub(before);
        #[expect(clippy::cast_precision_loss, reason = "KiB of a process")]
        let each_kib = grown as f64 / f64::from(connections);
        all.push(Memory {
            setup: name,
            connections,
            before_kib: before,
            each_kib,
        });
    }
    Ok(all)
}

/// Clients with so many connections in all, each of which has an RPC under way and a connection upstream of its own.
fn hold(contenders: &Contenders, setup: usize, connections: u32) -> Result<Vec<Load>> {
    let mut clients = Vec::new();
    let mut held = 0;
    while held < connections {
        let width = Width {
            connections: BATCH.min(connections - held),
            streams: 1,
        };
        held += width.connections;
        let call = Call {
            delay_us: HELD_US,
            ..Call::unary("Get", 0)
        };
        // The second plan is never begun: the connections stay until the client's end.
        let plans = [Plan::of(&call, width.connections as usize), Plan::default()];
        let target = contenders.target(setup, Server::One);
        let client = Load::start(Tonic, contenders.client(setup), target, width, &plans)?;
        clients.push(client);
        // An RPC that came after another's end would have its connection: then there would never be so many.
        eventually(
            "a connection upstream for each",
            BATCH_LIMIT,
            || match contenders.accepted(setup, Server::One) {
                Ok(seen) if seen >= held as usize => Ok(()),
                other => Err(format!("{other:?} of {held}")),
            },
        )?;
    }
    Ok(clients)
}

/// Resident memory of a process that is its own: no file's.
fn resident_kib(process: u32) -> Result<u64> {
    let file = format!("/proc/{process}/status");
    let text = fs::read_to_string(&file).context(|| format!("read {file}"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse().ok());
    kib.ok_or(Error::Unreadable {
        from: file,
        answer: text,
    })
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<13} {:>8.1} KiB resident per idle connection with its own upstream ({} of them on top of {} KiB)",
            self.setup, self.each_kib, self.connections, self.before_kib
        )
    }
}
