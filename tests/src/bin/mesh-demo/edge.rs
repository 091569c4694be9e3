//! Connections of one caller to one service, as the agent's metrics have them.

use crate::cluster::ShopService;
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
        let time_us = |name, quantile| {
            // Labels are the same for both histograms; only the name differs.
            self::quantile(metrics, name, &labels, quantile) * 1e6
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

/// The quantile of a histogram, interpolated within its bucket as Prometheus' `histogram_quantile` does; zero if the
/// histogram is empty.
fn quantile(metrics: &Metrics, name: &str, labels: &[(&str, &str)], quantile: f64) -> f64 {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for sample in metrics.find(name, labels) {
        let bound = sample.labels.get("le").and_then(|le| le.parse().ok());
        let Some(bound) = bound else { continue };
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, count)) => *count += sample.value,
            None => buckets.push((bound, sample.value)),
        }
    }
    buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let rank = quantile * buckets.last().map_or(0.0, |(_, total)| *total);
    if rank == 0.0 {
        return 0.0;
    }
    let (mut lower, mut below) = (0.0, 0.0);
    for (upper, count) in buckets {
        if count >= rank {
            if upper.is_infinite() {
                return lower;
            }
            return lower + (upper - lower) * (rank - below) / (count - below);
        }
        (lower, below) = (upper, count);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bucket_over_all_series() {
        let text = "h_bucket{le=\"0.1\",d=\"a\"} 1\nh_bucket{le=\"0.2\",d=\"a\"} 2\nh_bucket{le=\"+Inf\",d=\"a\"} 2\n\
                    h_bucket{le=\"0.1\",d=\"b\"} 1\nh_bucket{le=\"0.2\",d=\"b\"} 2\nh_bucket{le=\"+Inf\",d=\"b\"} 2\n# EOF\n";
        let metrics = Metrics::parse(text).unwrap();
        assert!((quantile(&metrics, "h_bucket", &[], 0.5) - 0.1).abs() < 1e-9);
        assert!((quantile(&metrics, "h_bucket", &[], 0.75) - 0.15).abs() < 1e-9);
        assert!(quantile(&metrics, "other_bucket", &[], 0.5).abs() < 1e-9);
    }
}
