//! Connections to routed services that the proxy itself did not route: written by the proxy, read by a scrape.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Services and reasons that are told apart; the rest is counted under `_OTHER`.
const SERIES_MAX: usize = 8_192;

/// Why the proxy did not route a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyBypass {
    /// It does not begin with the preface of HTTP/2: relayed as bytes, or refused.
    NotHttp2,
}

impl ProxyBypass {
    /// The value of the label `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotHttp2 => "not_http2",
        }
    }
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BypassSeries {
    /// `destination_service`.
    pub service: Arc<str>,
    /// `destination_namespace`.
    pub namespace: Arc<str>,
    /// Why.
    pub reason: &'static str,
    /// How many connections.
    pub count: u64,
}

/// Shared counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bypasses(Arc<Mutex<Counts>>);

type Counts = BTreeMap<(Arc<str>, Arc<str>, &'static str), u64>;

impl Bypasses {
    /// Counts a connection.
    pub fn note(&self, namespace: &Arc<str>, service: &Arc<str>, reason: ProxyBypass) {
        let mut counts = self.lock();
        let mut key = (Arc::clone(namespace), Arc::clone(service), reason.as_str());
        if counts.len() >= SERIES_MAX && !counts.contains_key(&key) {
            key = (Arc::from(""), Arc::from("_OTHER"), reason.as_str());
        }
        *counts.entry(key).or_default() += 1;
    }

    /// Copies the counts, ordered.
    #[must_use]
    pub fn series(&self) -> Vec<BypassSeries> {
        let series =
            |((namespace, service, reason), count): (&(Arc<str>, Arc<str>, &'static str), &u64)| {
                BypassSeries {
                    service: Arc::clone(service),
                    namespace: Arc::clone(namespace),
                    reason,
                    count: *count,
                }
            };
        self.lock().iter().map(series).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Every critical section leaves the counts whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bypasses, ProxyBypass, SERIES_MAX};

    #[test]
    fn what_is_one_service_too_many_is_counted_under_other() {
        let bypasses = Bypasses::default();
        let shop = "shop".into();
        for number in 0..=SERIES_MAX {
            let service = format!("s{number}").into();
            bypasses.note(&shop, &service, ProxyBypass::NotHttp2);
        }
        bypasses.note(&shop, &"s0".into(), ProxyBypass::NotHttp2);

        let series = bypasses.series();

        let count = |name: &str| {
            let found = series.iter().find(|series| *series.service == *name);
            found.map(|series| series.count)
        };
        assert_eq!((count("s0"), count("_OTHER")), (Some(2), Some(1)));
    }
}
