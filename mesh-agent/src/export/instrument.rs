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

/// Labels of calls as their client sees them.
const CLIENT_CALL: &[&str] = &[
    "rpc_system_name",
    "rpc_method",
    "rpc_status_code",
    "source_workload",
    "source_namespace",
    "destination_service",
    "destination_namespace",
    "destination_workload",
    "path",
];

/// Labels of calls as their server sees them.
const SERVER_CALL: &[&str] = &[
    "rpc_system_name",
    "rpc_method",
    "rpc_status_code",
    "source_workload",
    "source_namespace",
    "destination_service",
    "destination_namespace",
    "destination_workload",
];

/// Labels of what is counted once per RPC and node. `path` is empty where the server alone is on the node.
const RPC: &[&str] = &[
    "rpc_system_name",
    "rpc_method",
    "source_workload",
    "source_namespace",
    "destination_service",
    "destination_namespace",
    "destination_workload",
    "path",
];

/// Labels of what is counted per Service that requests go to.
const SERVICE: &[&str] = &["destination_service", "destination_namespace"];

const SERVICE_AND_RESULT: &[&str] = &["destination_service", "destination_namespace", "result"];

const SERVICE_AND_KIND: &[&str] = &["destination_service", "destination_namespace", "kind"];

const SERVICE_AND_REASON: &[&str] = &["destination_service", "destination_namespace", "reason"];

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
    BYPASS: Counter "mesh_bypass", None, SERVICE_AND_REASON,
        "Connections to routed services that the proxy did not route: no_listener, bind_failed, stalled: the agent hangs (direct, or refused), not_http2 (relayed as bytes, or refused).";
    CLIENT_CALLS: Histogram "rpc_client_call_duration", Some(Unit::Seconds), CLIENT_CALL,
        "Time from the request's headers to the end of the response, for calls by clients on this node.";
    SERVER_CALLS: Histogram "rpc_server_call_duration", Some(Unit::Seconds), SERVER_CALL,
        "Time from the request's headers to the end of the response, for calls to servers on this node.";
    RPC_ACTIVE: Gauge "mesh_rpc_active", None, RPC,
        "RPCs that are open now; on the direct path under the label they began with.";
    RPC_FIRST_RESPONSE: Histogram "mesh_rpc_time_to_first_response", Some(Unit::Seconds), RPC,
        "Time from the request's headers to the response's, open RPCs included; path is empty where the server alone is on this node.";
    RPC_REQUEST: Counter "mesh_rpc_request", Some(Unit::Bytes), RPC,
        "Payload bytes of requests, open RPCs included; path is empty where the server alone is on this node.";
    RPC_RESPONSE: Counter "mesh_rpc_response", Some(Unit::Bytes), RPC,
        "Payload bytes of responses, open RPCs included; path is empty where the server alone is on this node.";
    METER_RPCS: Counter "mesh_meter_rpcs", None, &["event"],
        "What became of RPCs: started = completed + active + aborted + lost + table_full; orphan_response stands apart.";
    METER_CONNECTIONS: Gauge "mesh_meter_connections", None, &["state", "direction"],
        "Directions of open connections by how much of them the meter understands.";
    METER_SKIPPED: Counter "mesh_meter_skipped", None, &["reason"],
        "Bytes or RPCs that were not metered as they might have been, by reason; see the table of reasons in the documentation.";
    RETRIES: Counter "mesh_retries", None, SERVICE_AND_RESULT,
        "Calls that were to be tried again, by result: success, failure, or what kept them from it: budget, limit, pushback, buffer, committed.";
    TIMEOUTS: Counter "mesh_timeouts", None, SERVICE_AND_KIND,
        "Calls through the proxy that took too long, by bound: request, stream_idle, caller; and tries of them: backend_request.";
    FAULTS: Counter "mesh_faults", None, SERVICE_AND_KIND,
        "Failures made on purpose: delay, abort.";
    MIRRORED: Counter "mesh_mirrored", None, SERVICE_AND_RESULT,
        "Copies of requests: success (answered, whatever the answer), failure.";
    LOCAL_REPLIES: Counter "mesh_local_replies", None, SERVICE_AND_REASON,
        "Calls that the mesh answered itself, by reason, which the header mesh-error has too.";
    EJECTIONS: Counter "mesh_ejections", None, SERVICE,
        "Times an endpoint got no more requests for a while because it failed.";
    RATE_LIMITED: Counter "mesh_rate_limited", None, SERVICE,
        "Calls refused because of a rate limit.";
    CIRCUIT_OPEN: Counter "mesh_circuit_open", None, SERVICE,
        "Calls that a bound of the circuit breaker kept from the Service.";
    FALLBACK: Counter "mesh_fallback", None, SERVICE,
        "Calls for which a fallback stood in.";
    UPSTREAM_OPENED: Counter "mesh_upstream_connection_opened", None, SERVICE,
        "Connections that the proxy made to endpoints.";
    UPSTREAM_ACTIVE: Gauge "mesh_upstream_connections_active", None, SERVICE,
        "Connections of the proxy to endpoints that are open now.";
    MAP_ENTRIES: Gauge "mesh_bpf_map_entries", None, &["map"],
        "Entries in use in a kernel map.";
    MAP_CAPACITY: Gauge "mesh_bpf_map_capacity", None, &["map"],
        "Entries a kernel map has room for.";
    MAP_FULL: Counter "mesh_bpf_map_full", None, &["map"],
        "Times a kernel map had no room for one more entry.";
    DECISIONS: Counter "mesh_kernel_decisions", None, &["reason"],
        "What the kernel programs decided, by reason; see the table of reasons in the documentation.";
    EVENTS_LOST: Counter "mesh_events_lost", None, &["kind"],
        "Single RPCs that were chosen and then lost: observation (the kernel's ring was full), span, tap (a line of it), log (a line of the access log); call: one through the proxy that no metric counts.";
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
