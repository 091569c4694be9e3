//! What became of RPCs: none vanishes, none is counted twice.

use crate::metrics::Metrics;
use std::fmt;

/// What became of RPCs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Requests seen.
    pub started: u64,
    /// Ended.
    pub completed: u64,
    /// Not yet ended.
    pub active: u64,
    /// Ended with their connection.
    pub aborted: u64,
    /// Not known, because a direction lost its place.
    pub lost: u64,
    /// Without room in the table.
    pub table_full: u64,
    /// Responses without a request.
    pub orphans: u64,
}

impl Balance {
    /// Reads it.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Self {
        let event = |name| metrics.count("mesh_meter_rpcs_total", &[("event", name)]);
        Self {
            started: event("started"),
            completed: event("completed"),
            active: metrics.count("mesh_rpc_active", &[]),
            aborted: event("aborted"),
            lost: event("lost"),
            table_full: event("table_full"),
            orphans: event("orphan_response"),
        }
    }

    /// Whether nothing has vanished and nothing has been counted twice.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.started == self.completed + self.active + self.aborted + self.lost + self.table_full
    }
}

/// What the meter says of itself, in one line.
#[derive(Debug)]
pub struct State<'a>(pub &'a Metrics);

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Balance::of(self.0))?;
        let own = ["mesh_meter_connections", "mesh_meter_skipped_total"];
        let samples = own.iter().flat_map(|name| self.0.find(name, &[]));
        for sample in samples.filter(|sample| sample.value > 0.0) {
            let labels: Vec<_> = sample.labels.values().map(String::as_str).collect();
            write!(f, ", {} {}", labels.join(" "), sample.value)?;
        }
        Ok(())
    }
}
