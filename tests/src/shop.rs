//! What the demo's load generator tells the demo: one [`Tally`] per line of JSON.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that has happened since the load began.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Tally {
    /// Orders that were answered in full.
    pub orders: u64,
    /// Orders that were not.
    pub errors: u64,
    /// What the last of those errors was.
    pub last_error: Option<String>,
    /// Calls by service, then by the endpoint that says it answered.
    pub answered: BTreeMap<String, BTreeMap<String, u64>>,
    /// Median time of the orders since the tally before this one, in µs.
    pub order_p50_us: u64,
    /// 99th percentile of the same.
    pub order_p99_us: u64,
}

impl Tally {
    /// Calls that one endpoint answered.
    #[must_use]
    pub fn calls(&self, service: &str, endpoint: &str) -> u64 {
        self.answered
            .get(service)
            .and_then(|endpoints| endpoints.get(endpoint))
            .copied()
            .unwrap_or(0)
    }

    /// What has happened since `earlier`; the times are those of `self`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let answered = self
            .answered
            .iter()
            .map(|(service, endpoints)| {
                let counts = endpoints
                    .iter()
                    .map(|(endpoint, count)| {
                        (endpoint.clone(), count - earlier.calls(service, endpoint))
                    })
                    .collect();
                (service.clone(), counts)
            })
            .collect();
        Self {
            orders: self.orders - earlier.orders,
            errors: self.errors - earlier.errors,
            answered,
            ..self.clone()
        }
    }

    /// The part of a service's calls that one endpoint answered, from 0 to 1.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a demo's counters stay far below 2^53"
    )]
    pub fn share(&self, service: &str, endpoint: &str) -> f64 {
        let total: u64 = self
            .answered
            .get(service)
            .map_or(0, |endpoints| endpoints.values().sum());
        if total == 0 {
            return 0.0;
        }
        self.calls(service, endpoint) as f64 / total as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(counts: &[(&str, u64)]) -> Tally {
        let endpoints = counts
            .iter()
            .map(|&(endpoint, count)| (endpoint.to_owned(), count))
            .collect();
        Tally {
            orders: counts.iter().map(|(_, count)| count).sum(),
            answered: [("inventory".to_owned(), endpoints)].into(),
            ..Tally::default()
        }
    }

    #[test]
    fn shares_are_of_the_calls_between_two_tallies() {
        let before = tally(&[("inventory-0", 10), ("inventory-1", 10)]);
        let after = tally(&[("inventory-0", 10), ("inventory-1", 13), ("inventory-2", 1)]);
        let between = after.since(&before);
        assert_eq!(between.orders, 4);
        assert_eq!(between.calls("inventory", "inventory-0"), 0);
        assert!((between.share("inventory", "inventory-1") - 0.75).abs() < 1e-9);
        assert!((between.share("inventory", "inventory-2") - 0.25).abs() < 1e-9);
    }

    #[test]
    fn an_unknown_service_has_no_share() {
        assert!(tally(&[]).share("payment", "payment-0").abs() < 1e-9);
    }
}
