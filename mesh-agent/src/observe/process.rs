//! What the agent itself uses, under the names that Prometheus clients customarily give it.

/// The agent's own use of the machine; a figure the system does not tell is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// CPU time in user and kernel mode, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Start of the process, seconds since 1970.
    pub start_time_seconds: f64,
}
