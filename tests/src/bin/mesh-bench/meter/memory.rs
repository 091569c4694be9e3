//! Kernel memory of a socket in the mesh, from `/proc/slabinfo`.
//!
//! Connections are opened without the mesh and in it, by turns, and held; what those in the mesh take more is the mesh's.

use super::PAIRS;
use super::pairs::{Pairs, Port};
use crate::statistics::Spread;
use mesh_tests::error::Context;
use mesh_tests::stage::{answer, begin, request, response};
use mesh_tests::wire::{Dialling, Listening, Wire};
use mesh_tests::{Error, Result};
use serde::Serialize;
use std::{fmt, fs};

/// How often both are measured: per-CPU pages of the allocator come and go.
const ROUNDS: usize = 5;

/// Bytes per metered socket more than without the mesh.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    connections: u32,
    /// Both ends are in the mesh: each meters what it sends.
    grpc_bytes: Spread,
    /// The server is not: the client's socket meters both directions.
    remote_bytes: Spread,
    /// Both are, and speak something else.
    other_bytes: Spread,
}

/// Measures with so many connections at a time.
pub(super) fn measure(pairs: &Pairs, connections: u32) -> Result<Memory> {
    let [direct, member] = [0, PAIRS.len() - 1];
    let added = |server: usize, port: Port, sockets: u32| {
        let mut added = Vec::new();
        for _ in 0..ROUNDS {
            let without = growth(pairs, [direct, direct], connections, port)?;
            let with = growth(pairs, [member, server], connections, port)?;
            added.push((with - without) / f64::from(sockets));
        }
        Ok::<_, Error>(Spread::of(added))
    };
    Ok(Memory {
        connections,
        grpc_bytes: added(member, Port::Told, 2 * connections)?,
        remote_bytes: added(direct, Port::Told, connections)?,
        other_bytes: added(member, Port::Plain, 2 * connections)?,
    })
}

/// Bytes that the kernel takes for connections from one pair's client to one pair's server.
fn growth(pairs: &Pairs, ends: [usize; 2], connections: u32, port: Port) -> Result<f64> {
    let mut client = Wire::start(&pairs.pods(ends[0])[0])?;
    let mut server = Wire::start(&pairs.pods(ends[1])[1])?;
    server.listen(pairs.endpoint(ends[1], port), Listening::default())?;
    let [said, answered] = match port {
        Port::Plain => {
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"].map(<[u8]>::to_vec)
        }
        Port::Rpcs | Port::Told => [begin(&[request(1, "Get")]), answer(&[response(1, 0)])],
    };
    let before = slab_bytes()?;
    for _ in 0..connections {
        let from = client.connect(pairs.target(ends, port), Dialling::default())?;
        let to = server.accept()?;
        client.send(from, &[&said])?;
        server.swallow(to, said.len() as u64)?;
        server.send(to, &[&answered])?;
        client.swallow(from, answered.len() as u64)?;
    }
    let grown = slab_bytes()? - before;
    for socket in 0..connections as usize {
        // By RST, so that nothing rests in TIME_WAIT.
        client.abort(socket)?;
        server.close(socket)?;
    }
    Ok(grown)
}

/// Bytes of the objects in the allocator's general caches, which socket storage and map elements are of. The others
/// (inodes, sockets) are the same with and without the mesh, and change with whatever else the machine does.
fn slab_bytes() -> Result<f64> {
    const FILE: &str = "/proc/slabinfo";
    let text = fs::read_to_string(FILE).context(|| format!("read {FILE}"))?;
    let bytes: Option<f64> = text
        .lines()
        .filter(|line| line.starts_with("kmalloc-"))
        .map(|line| {
            // slabinfo(5): name, active objects, objects, size of an object.
            let mut words = line.split_whitespace().skip(1);
            let active: f64 = words.next()?.parse().ok()?;
            let size: f64 = words.nth(1)?.parse().ok()?;
            Some(active * size)
        })
        .sum();
    bytes.ok_or_else(|| Error::Unreadable {
        from: FILE.to_owned(),
        answer: text,
    })
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "kernel memory that the mesh adds per metered socket, in bytes ({} connections): gRPC {:.0}, gRPC with the other \
             end elsewhere {:.0}, not gRPC {:.0}",
            self.connections, self.grpc_bytes, self.remote_bytes, self.other_bytes
        )
    }
}
