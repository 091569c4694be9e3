//! Where the admin server finds its answers.

use crate::api::{Map, Meter, ProxyActivity, Status};
use crate::export::prometheus::{self, Exposition};
use crate::export::read_process;
use crate::lifecycle::Readiness;
use crate::observe::{Bypasses, LiveSource, Losses, MapFill, Progress, ProxyFigures};
use crate::reconcile::{Inquiries, NoAnswer};
use crate::sampler::{NoReading, Sampler};
use crate::tracer::{Taps, TooManyTaps};
use std::sync::Arc;
use std::time::Instant;

/// What does not change while the agent runs.
#[derive(Clone, Debug)]
pub struct AgentInfo {
    /// The agent's version.
    pub version: &'static str,
    /// When it was started.
    pub started: Instant,
    /// The same, in seconds since 1970.
    pub start_time_seconds: f64,
    /// The node it runs for.
    pub node: String,
    /// The cgroup whose processes are in the mesh.
    pub cgroup: String,
    /// Where everything is pinned.
    pub pins: String,
    /// What this kernel cannot give; empty: full function.
    pub degraded: Vec<String>,
}

/// Everything the admin server reads from.
#[derive(Clone, Debug)]
pub struct Readers {
    /// What does not change.
    pub info: AgentInfo,
    /// Whether the agent does its job yet.
    pub readiness: Readiness,
    /// How far the configuration has come.
    pub progress: Progress,
    /// The kernel's measurements.
    pub sampler: Sampler,
    /// What is in force.
    pub inquiries: Inquiries,
    /// Single RPCs as they end.
    pub taps: Taps,
    /// Spans and lines that got lost.
    pub losses: Losses,
    /// What the proxy does not route.
    pub bypasses: Bypasses,
    /// What the proxy is in the middle of.
    pub live: LiveSource,
    /// What the proxy has under way.
    pub proxy: Arc<ProxyFigures>,
}

/// Why a request has no answer now; asking again may help.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    /// No measurements.
    #[error(transparent)]
    Reading(#[from] NoReading),
    /// No view of what is in force.
    #[error(transparent)]
    Answer(#[from] NoAnswer),
    /// No place for one more reader of single RPCs.
    #[error(transparent)]
    Tap(#[from] TooManyTaps),
    /// A text could not be put together.
    #[error("cannot write the answer: {0}")]
    Format(String),
}

impl Readers {
    pub(super) async fn metrics(&self) -> Result<String, Unavailable> {
        let snapshot = self.sampler.snapshot().await?;
        prometheus::render(Exposition {
            snapshot,
            progress: self.progress.figures(),
            losses: self.losses.figures(),
            bypasses: self.bypasses.series(),
            process: read_process(self.info.start_time_seconds),
            version: self.info.version,
        })
        .map_err(|error| Unavailable::Format(error.to_string()))
    }

    pub(super) async fn status(&self) -> Result<Status, Unavailable> {
        let overview = self.inquiries.overview().await?;
        let snapshot = self.sampler.snapshot().await?;
        Ok(Status {
            version: self.info.version.to_owned(),
            pid: std::process::id(),
            uptime_seconds: self.info.started.elapsed().as_secs(),
            node: self.info.node.clone(),
            not_ready: self
                .readiness
                .missing()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            degraded: self.info.degraded.clone(),
            cgroup: self.info.cgroup.clone(),
            pins: self.info.pins.clone(),
            programs: overview.programs,
            maps: snapshot.maps.iter().map(Map::from).collect(),
            meter: Meter::from(&snapshot.rpcs),
            proxy: ProxyActivity {
                connections: self.proxy.sessions(),
                requests: self.proxy.calls(),
            },
            configuration: overview.configuration,
        })
    }
}

impl From<&MapFill> for Map {
    fn from(fill: &MapFill) -> Self {
        Self {
            name: fill.name.to_owned(),
            entries: fill.entries,
            capacity: fill.capacity,
            waiting: fill.waiting,
            full_total: fill.full_total,
            memory_bytes: fill.memory_bytes,
            is_per_cpu: fill.is_per_cpu,
        }
    }
}
