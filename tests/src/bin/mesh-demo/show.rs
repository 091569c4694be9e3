//! The demo from beginning to end.

use crate::calls::Calls;
use crate::cluster::{CHANGED, Cluster, JOINER, LEAVER, SERVICES};
use crate::edge::Edge;
use crate::interrupt::Interrupt;
use crate::summary::{Seen, Summary};
use crate::table::{View, table};
use crate::terminal::Terminal;
use mesh_tests::shop::Tally;
use mesh_tests::{Error, Result, binary};
use std::time::{Duration, Instant};

/// How often the table is redrawn.
const DRAW_INTERVAL: Duration = Duration::from_secs(1);

/// After the change, connections made before it are still in use until they are replaced (half a second old), and
/// their last tally is a quarter second late.
const SETTLE_TIME: Duration = Duration::from_millis(1500);

/// How a demo ended.
pub(crate) enum Ending {
    /// All was shown.
    Finished(Summary),
    /// Somebody pressed Ctrl-C before the summary.
    Interrupted,
}

/// Shows the mesh for a bounded time; with `keep`, and then until Ctrl-C. Leaves nothing behind.
pub(crate) fn show(
    duration: Duration,
    keep: bool,
    interrupt: &Interrupt,
    terminal: &mut Terminal,
) -> Result<Ending> {
    terminal.say("starting the agent and eight pods: storefront > order > inventory > payment");
    let mut stage = Stage::new(Cluster::start()?, duration)?;
    let admin = stage.cluster.agent().admin();
    let metrics = format!("http://{admin}/metrics");
    terminal.say(format_args!("metrics: {metrics}"));
    let agent = binary::agent()?;
    terminal.say(format_args!(
        "each call as it ends: {} tap --admin {admin}",
        agent.canonicalize().unwrap_or(agent).display()
    ));
    terminal.say(format_args!("manifests: {}", stage.cluster.config()));

    let beginning = stage.tally.clone();
    if !stage.play_until(stage.begin + duration / 2, interrupt, terminal)? {
        return Ok(Ending::Interrupted);
    }
    let before = stage.tally.since(&beginning);
    terminal.say(format_args!(
        "\n{:.0} s: rewriting {CHANGED}-endpoints.yaml under load: {JOINER} comes, {LEAVER} goes",
        stage.begin.elapsed().as_secs_f64()
    ));
    stage.cluster.change()?;
    if !stage.play_until(Instant::now() + SETTLE_TIME, interrupt, terminal)? {
        return Ok(Ending::Interrupted);
    }
    let changed = stage.tally.clone();
    if !stage.play_until(stage.begin + duration, interrupt, terminal)? {
        return Ok(Ending::Interrupted);
    }
    let after = stage.tally.since(&changed);
    let seen = Seen {
        connections: stage.edges.clone(),
        calls: stage.calls.clone(),
        metrics,
    };
    let summary = Summary::new(&stage.tally, &before, &after, seen);
    if terminal.is_json() {
        terminal.answer(json(&summary)?);
        return Ok(Ending::Finished(summary));
    }
    terminal.answer(&summary);
    if keep {
        terminal.say("going on until Ctrl-C");
        while stage.play_until(Instant::now() + DRAW_INTERVAL, interrupt, terminal)? {}
    }
    Ok(Ending::Finished(summary))
}

fn json(summary: &Summary) -> Result<String> {
    serde_json::to_string_pretty(summary).map_err(|error| Error::Unreadable {
        from: "the demo itself".to_owned(),
        answer: error.to_string(),
    })
}

/// The running cluster and what was last seen of it.
struct Stage {
    cluster: Cluster,
    duration: Duration,
    begin: Instant,
    tally: Tally,
    edges: Vec<Edge>,
    calls: Vec<Calls>,
    drawn: Instant,
    drawn_tally: Tally,
}

impl Stage {
    /// Begins once the first order is answered, or the first has failed.
    fn new(cluster: Cluster, duration: Duration) -> Result<Self> {
        let mut tally = cluster.next_tally()?;
        while tally.orders + tally.errors == 0 {
            tally = cluster.next_tally()?;
        }
        let now = Instant::now();
        Ok(Self {
            cluster,
            duration,
            begin: now,
            drawn_tally: tally.clone(),
            tally,
            edges: Vec::new(),
            calls: Vec::new(),
            drawn: now,
        })
    }

    /// Goes on until a moment, looking and drawing once in an interval; says whether to go on after that.
    fn play_until(
        &mut self,
        end: Instant,
        interrupt: &Interrupt,
        terminal: &mut Terminal,
    ) -> Result<bool> {
        loop {
            let next = end.min(self.drawn + DRAW_INTERVAL);
            if !interrupt.wait_until(next) {
                return Ok(false);
            }
            self.look()?;
            if self.drawn.elapsed() >= DRAW_INTERVAL {
                self.draw(terminal);
            }
            if Instant::now() >= end {
                return Ok(true);
            }
        }
    }

    fn look(&mut self) -> Result {
        if let Some(tally) = self.cluster.newest_tally()? {
            self.tally = tally;
        }
        let metrics = self.cluster.agent().metrics()?;
        self.edges = SERVICES
            .iter()
            .map(|service| Edge::read(&metrics, service))
            .collect();
        self.calls = Calls::read(&metrics);
        Ok(())
    }

    fn draw(&mut self, terminal: &mut Terminal) {
        let now = Instant::now();
        let view = View {
            elapsed: now - self.begin,
            total: self.duration,
            tally: &self.tally,
            recent: self.tally.since(&self.drawn_tally),
            recent_time: now - self.drawn,
            edges: &self.edges,
            calls: &self.calls,
        };
        terminal.draw(&table(&view));
        self.drawn = now;
        self.drawn_tally = self.tally.clone();
    }
}
