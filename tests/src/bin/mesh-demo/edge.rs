//! Connections of one caller to one service, as the agent's metrics have them.

use crate::cluster::ShopService;
use crate::quantile::quantile;
use mesh_tests::metrics::Metrics;
use serde::Serialize;

/// Connections of one caller to one service since the agent started.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Edge {
    pub(crate) source: &'static str,
    pub(crate) destination: &'static str,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) failed: u64,
    pub(crate) active: u64,
    pub(crate) connect_p50_us: f64,
    pub(crate) connect_p99_us: f64,
    pub(crate) rtt_p50_us: f64,
    pub(crate) rtt_p99_us: f64,
}

impl Edge {
    /// Reads the connections to `service` out of a scrape.
    pub(crate) fn read(metrics: &Metrics, service: &ShopService) -> Self {
        let labels = [
            ("source_workload", service.caller),
            ("destination_service", service.name),
        ];
        let time_us = |name, share| {
            // Labels are the same for both histograms; only the name differs.
            quantile(metrics, name, &labels, share) * 1e6
        };
        let connect = "mesh_connect_duration_seconds_bucket";
        let rtt = "mesh_connection_rtt_seconds_bucket";
        Self {
            source: service.caller,
            destination: service.name,
            opened: metrics.count("mesh_connection_opened_total", &labels),
            closed: metrics.count("mesh_connection_closed_total", &labels),
            failed: metrics.count("mesh_connection_failed_total", &labels),
            active: metrics.count("mesh_connections_active", &labels),
            connect_p50_us: time_us(connect, 0.5),
            connect_p99_us: time_us(connect, 0.99),
            rtt_p50_us: time_us(rtt, 0.5),
            rtt_p99_us: time_us(rtt, 0.99),
        }
    }
}
