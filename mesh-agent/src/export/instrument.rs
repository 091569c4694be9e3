//! Every instrument, declared once: name, unit, help, labels.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// One metric family.
#[derive(Debug)]
pub(super) struct Instrument {
    /// The name without its unit and without `_total`.
    pub(super) name: &'static str,
    /// The unit, which ends the name.
    pub(super) unit: Option<Unit>,
    /// One sentence for people.
    pub(super) help: &'static str,
    /// Whether it counts, gauges or buckets.
    pub(super) kind: MetricType,
    /// The labels of every sample, in order.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "held against the exposition by a test")
    )]
    pub(super) labels: &'static [&'static str],
}

/// Labels of everything that is counted per source and destination.
const FLOW: &[&str] = &[
    "source_workload",
    "source_namespace",
    "destination_service",
    "destination_namespace",
    "destination_workload",
    "path",
];

const FLOW_AND_REASON: &[&str] = &[
    "source_workload",
    "source_namespace",
    "destination_service",
    "destination_namespace",
    "destination_workload",
    "path",
    "reason",
];

const FLOW_AND_ERRNO: &[&str] = &[
    "source_workload",
    "source_namespace",
    "destination_service",
    "destination_namespace",
    "destination_workload",
    "path",
    "errno",
];

/// Declares the instruments, and the list of all of them in the order of the exposition.
macro_rules! instruments {
    ($($ident:ident: $kind:ident $name:literal, $unit:expr, $labels:expr, $help:literal;)*) => {
        $(pub(super) const $ident: Instrument = Instrument {
            name: $name,
            unit: $unit,
            help: $help,
            kind: MetricType::$kind,
            labels: $labels,
        };)*

        #[cfg(test)]
        pub(super) const ALL: &[Instrument] = &[$($ident,)*];
    };
}

instruments! {
    OPENED: Counter "mesh_connection_opened", None, FLOW,
        "Connections established, counted at the connecting side.";
    CLOSED: Counter "mesh_connection_closed", None, FLOW_AND_REASON,
        "Established connections that ended: fin, reset, timeout, aborted (by the application), error.";
    FAILED: Counter "mesh_connection_failed", None, FLOW_AND_ERRNO,
        "Connect attempts that failed, by error; CANCELLED: the application gave up, LOCAL: before the first packet.";
    ACTIVE: Gauge "mesh_connections_active", None, FLOW,
        "Connections that are open now.";
    CONNECT_DURATION: Histogram "mesh_connect_duration", Some(Unit::Seconds), FLOW,
        "Time from connect() to the connection being established.";
    RTT: Histogram "mesh_connection_rtt", Some(Unit::Seconds), FLOW,
        "Smoothed round-trip time of TCP, sampled when a connection is established and then at most once a second.";
    SENT: Counter "mesh_connection_sent", Some(Unit::Bytes), FLOW,
        "Payload bytes acknowledged by the endpoint, open connections included.";
    RECEIVED: Counter "mesh_connection_received", Some(Unit::Bytes), FLOW,
        "Payload bytes received from the endpoint, open connections included.";
    RETRANSMITS: Counter "mesh_connection_retransmits", None, FLOW,
        "TCP segments sent again, open connections included.";
    MAP_ENTRIES: Gauge "mesh_bpf_map_entries", None, &["map"],
        "Entries in use in a kernel map.";
    MAP_CAPACITY: Gauge "mesh_bpf_map_capacity", None, &["map"],
        "Entries a kernel map has room for.";
    MAP_FULL: Counter "mesh_bpf_map_full", None, &["map"],
        "Times a kernel map had no room for one more entry.";
    DECISIONS: Counter "mesh_kernel_decisions", None, &["reason"],
        "What the kernel programs decided, by reason; see the table of reasons in the documentation.";
    GENERATION: Gauge "mesh_config_generation", None, &["target"],
        "Generation of the configuration: last seen by the agent, and in force in the kernel.";
    REJECTED: Gauge "mesh_config_rejected", None, &[],
        "Configuration objects that are left out, or in force in an older version, because they are wrong.";
    APPLY_FAILED: Counter "mesh_config_apply_failed", None, &[],
        "Times the kernel did not take a change of the configuration.";
    PROPAGATION: Histogram "mesh_endpoint_propagation", Some(Unit::Seconds), &[],
        "Time from the event that announced a change of the configuration to its being in the kernel.";
    RESIDENT: Gauge "process_resident_memory", Some(Unit::Bytes), &[],
        "Resident memory of the agent.";
    CPU: Counter "process_cpu", Some(Unit::Seconds), &[],
        "CPU time of the agent in user and kernel mode.";
    OPEN_FDS: Gauge "process_open_fds", None, &[],
        "Open file descriptors of the agent.";
    START_TIME: Gauge "process_start_time", Some(Unit::Seconds), &[],
        "Start of the agent, in seconds since 1970.";
    BUILD: Info "mesh_build", None, &["version"],
        "The agent's version.";
}
