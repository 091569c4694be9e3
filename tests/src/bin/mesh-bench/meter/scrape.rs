//! What a scrape of many lines costs.

use super::PAIRS;
use super::pairs::{Pairs, Port};
use crate::statistics::Spread;
use mesh_tests::http;
use mesh_tests::load::{self, Call, Plan, Width};
use mesh_tests::rpc::Implementation::Tonic;
use mesh_tests::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::time::{Duration, Instant};

/// Methods that make the lines.
const METHODS: u32 = 115;

/// Scrapes.
const SCRAPES: u32 = 12;

/// Between two scrapes: the agent reads the kernel's maps once a second at most, and a scrape without that costs little.
const PAUSE: Duration = Duration::from_millis(1_200);

/// Scrapes of many lines.
#[derive(Debug, Serialize)]
pub(super) struct Scrape {
    lines: usize,
    bytes: usize,
    took_ms: Spread,
    /// CPU of the agent per scrape.
    cpu_ms: f64,
}

/// Makes calls of many methods and scrapes.
pub(super) fn measure(pairs: &Pairs) -> Result<Scrape> {
    let member = PAIRS.len() - 1;
    let calls = (0..METHODS)
        .map(|number| Call::unary(&format!("Get{number}"), 0))
        .collect();
    let width = Width {
        connections: 1,
        streams: 8,
    };
    let [client, _] = pairs.pods(member);
    let target = pairs.target([member, member], Port::Rpcs);
    let truth = load::run(Tonic, client, target, width, &Plan { calls })?;
    if truth.wrong > 0 {
        return Err(Error::Unreadable {
            from: "mesh-rpc load".to_owned(),
            answer: format!("{:?}", truth.first_wrong),
        });
    }
    let mut times = Vec::new();
    let mut last = String::new();
    let cpu_us = pairs.agent_cpu_us()?;
    for _ in 0..SCRAPES {
        std::thread::sleep(PAUSE);
        let begin = Instant::now();
        last = http::get(pairs.agent.admin(), "/metrics")?.body;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    #[expect(clippy::cast_precision_loss, reason = "µs of a few seconds")]
    let cpu_us = (pairs.agent_cpu_us()? - cpu_us) as f64;
    Ok(Scrape {
        lines: last.lines().count(),
        bytes: last.len(),
        took_ms: Spread::of(times),
        cpu_ms: cpu_us / 1e3 / f64::from(SCRAPES),
    })
}

impl fmt::Display for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a scrape of {} lines ({} bytes) takes {:.1} ms, the agent's CPU for it {:.1} ms",
            self.lines, self.bytes, self.took_ms, self.cpu_ms
        )
    }
}
