//! Calls of one caller to one method, as the kernel has metered them.

use crate::cluster::{SERVICES, ShopService};
use crate::quantile::quantile;
use mesh_tests::metered::{Side, counts};
use mesh_tests::metrics::Metrics;
use serde::Serialize;
use std::collections::BTreeMap;

/// Calls of one caller to one method since the agent started.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Calls {
    pub(crate) source: &'static str,
    pub(crate) destination: &'static str,
    /// `package.Service/Method`.
    pub(crate) method: String,
    /// Calls that ended, by status.
    pub(crate) ended: BTreeMap<String, u64>,
    pub(crate) active: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Calls {
    /// Reads the calls to the shop's services out of a scrape.
    pub(crate) fn read(metrics: &Metrics) -> Vec<Self> {
        SERVICES
            .iter()
            .flat_map(|service| Self::of(metrics, service))
            .collect()
    }

    fn of(metrics: &Metrics, service: &ShopService) -> Vec<Self> {
        let labels = [
            ("source_workload", service.caller),
            ("destination_service", service.name),
        ];
        let mut methods: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((method, status), count) in counts(metrics, Side::Client, &labels) {
            methods.entry(method).or_default().insert(status, count);
        }
        let one = |(method, ended): (String, _)| {
            let labels = [labels.as_slice(), &[("rpc_method", &*method)]].concat();
            let buckets = format!("{}_bucket", Side::Client.metric());
            let time_us = |share| quantile(metrics, &buckets, &labels, share) * 1e6;
            Self {
                source: service.caller,
                destination: service.name,
                ended,
                active: metrics.count("mesh_rpc_active", &labels),
                p50_us: time_us(0.5),
                p99_us: time_us(0.99),
                method,
            }
        };
        methods.into_iter().map(one).collect()
    }

    /// Calls that ended.
    pub(crate) fn total(&self) -> u64 {
        self.ended.values().sum()
    }

    /// Calls that ended otherwise than well.
    pub(crate) fn failed(&self) -> u64 {
        self.total() - self.ended.get("OK").copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_those_of_the_client_by_method_and_status() {
        let name = "rpc_client_call_duration_seconds";
        let series = |method: &str, status: &str, count: u32| {
            let labels = format!(
                "source_workload=\"storefront\",destination_service=\"order\",\
                 rpc_method=\"{method}\",rpc_status_code=\"{status}\""
            );
            format!(
                "{name}_bucket{{{labels},le=\"0.1\"}} {count}\n\
                 {name}_bucket{{{labels},le=\"+Inf\"}} {count}\n\
                 {name}_count{{{labels}}} {count}\n"
            )
        };
        let text = [
            series("shop.Order/Place", "OK", 7),
            series("shop.Order/Place", "UNAVAILABLE", 1),
            series("shop.Order/Undo", "OK", 2),
            "# EOF\n".to_owned(),
        ];
        let metrics = Metrics::parse(&text.concat()).unwrap();
        let calls = Calls::read(&metrics);
        let figures: Vec<_> = calls
            .iter()
            .map(|calls| (&*calls.method, calls.total(), calls.failed()))
            .collect();
        assert_eq!(
            figures,
            [("shop.Order/Place", 8, 1), ("shop.Order/Undo", 2, 0)]
        );
        assert!((calls[0].p50_us - 50_000.0).abs() < 1.0, "{calls:?}");
    }
}
