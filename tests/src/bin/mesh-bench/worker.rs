//! The process in the pod: times connects, or watches who answers.

use crate::output::say;
use mesh_tests::error::Context;
use mesh_tests::peer::{BANNER_LEN, monotonic_ns};
use mesh_tests::{Error, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, BufRead, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Connects before each slice that are not counted.
const WARM_UP: u32 = 100;

/// One connection to a server that says who it is: how long `connect()` took, and who answered.
struct Connection {
    started_ns: u64,
    took: Duration,
    identity: String,
}

fn connect(target: SocketAddr) -> io::Result<Connection> {
    let mut socket = Socket::new(
        Domain::for_address(target),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Ends by RST, so that no port rests in TIME_WAIT.
    socket.set_linger(Some(Duration::ZERO))?;
    let address = target.into();
    let started_ns = monotonic_ns();
    let begin = Instant::now();
    socket.connect(&address)?;
    let took = begin.elapsed();
    // The server has done its part before the next connect begins.
    let mut banner = [0; BANNER_LEN];
    socket.read_exact(&mut banner)?;
    Ok(Connection {
        started_ns,
        took,
        identity: String::from_utf8_lossy(&banner).trim_end().to_owned(),
    })
}

/// Answers each line `ADDRESS COUNT` with the times of so many connects in ns, as a JSON array.
pub(crate) fn time() -> Result {
    for line in io::stdin().lock().lines() {
        let line = line.context(|| "read standard input")?;
        let unreadable = || Error::Unreadable {
            from: "standard input".to_owned(),
            answer: line.clone(),
        };
        let (target, count) = line.split_once(' ').ok_or_else(unreadable)?;
        let target = target.parse().map_err(|_invalid| unreadable())?;
        let count: u32 = count.parse().map_err(|_invalid| unreadable())?;
        // A process that has waited finds its CPU idle and slow: that is not what is measured.
        for _ in 0..WARM_UP {
            connect(target).context(|| format!("connect to {target}"))?;
        }
        let times = (0..count)
            .map(|_| connect(target).map(|connection| connection.took.as_nanos()))
            .collect::<io::Result<Vec<_>>>()
            .context(|| format!("connect to {target}"))?;
        let text = serde_json::to_string(&times)
            .map_err(io::Error::from)
            .context(|| "write times as JSON")?;
        say(&text)?;
    }
    Ok(())
}

/// Connects without pause until standard input ends; says `STARTED_NS INDEX IDENTITY` whenever a target is
/// answered by another than before.
pub(crate) fn watch(targets: &[SocketAddr]) -> Result {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        // Ends at the end of input; an error ends it just as well.
        drop(io::stdin().lock().read_to_end(&mut rest));
        told.store(true, Ordering::Relaxed);
    });
    let mut last = vec![String::new(); targets.len()];
    while !stop.load(Ordering::Relaxed) {
        for (index, (&target, last)) in targets.iter().zip(&mut last).enumerate() {
            let connection = connect(target).context(|| format!("connect to {target}"))?;
            if connection.identity != *last {
                say(&format!(
                    "{} {index} {}",
                    connection.started_ns, connection.identity
                ))?;
                *last = connection.identity;
            }
        }
    }
    Ok(())
}
