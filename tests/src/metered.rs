//! What the meter exported, and what always holds of it.

use crate::agent::{Agent, SETTLE_LIMIT};
use crate::balance::{Balance, State};
use crate::deadline::eventually;
use crate::error::Result;
use crate::load::{BOUNDS_NS, BUCKETS, Outcome, SERVICE, Truth};
use crate::metrics::Metrics;
use std::collections::BTreeMap;
use std::fmt;

/// A label that stands for every method without one.
pub const OTHER: &str = "_OTHER";

/// The status of a call whose status the meter could not see.
pub const UNKNOWN_STATUS: &str = "UNKNOWN_STATUS";

/// Whose series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `rpc_client_call_duration_seconds`.
    Client,
    /// `rpc_server_call_duration_seconds`.
    Server,
}

impl Side {
    /// The histogram's name.
    #[must_use]
    pub const fn metric(self) -> &'static str {
        match self {
            Self::Client => "rpc_client_call_duration_seconds",
            Self::Server => "rpc_server_call_duration_seconds",
        }
    }
}

/// Calls by method, as in its label, and status.
pub type Counts = BTreeMap<(String, String), u64>;

/// Calls of the series that carry all of `labels`; series that have not counted are left out.
#[must_use]
pub fn counts(metrics: &Metrics, side: Side, labels: &[(&str, &str)]) -> Counts {
    let name = format!("{}_count", side.metric());
    let mut counts = Counts::new();
    for sample in metrics.find(&name, labels) {
        let label = |key: &str| sample.labels.get(key).cloned().unwrap_or_default();
        let of_sample: Vec<_> = sample
            .labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let count = counts
            .entry((label("rpc_method"), label("rpc_status_code")))
            .or_insert(0);
        *count += metrics.count(&name, &of_sample);
    }
    counts.retain(|_, count| *count > 0);
    counts
}

/// What the meter must say of what a client saw: a method that no server has makes no label.
#[must_use]
pub fn expected(truth: &Truth) -> Counts {
    let mut counts = Counts::new();
    for ((method, status), count) in truth.counts() {
        let label = if status == "UNIMPLEMENTED" {
            OTHER.to_owned()
        } else {
            label_of(&method)
        };
        *counts.entry((label, status)).or_default() += count;
    }
    counts
}

/// The label of a method of [`SERVICE`].
#[must_use]
pub fn label_of(method: &str) -> String {
    format!("{SERVICE}/{method}")
}

/// The histogram of the series that carry all of `labels`, as of one client.
#[must_use]
pub fn durations(metrics: &Metrics, side: Side, labels: &[(&str, &str)]) -> Outcome {
    let bucket = format!("{}_bucket", side.metric());
    let mut below = 0;
    let mut outcome = Outcome::default();
    for (index, count) in outcome.buckets.iter_mut().enumerate() {
        let all: u64 = metrics
            .find(&bucket, labels)
            .filter(|sample| {
                let le = sample.labels.get("le").and_then(|le| le.parse().ok());
                le.is_some_and(|le: f64| is_bound(le, index))
            })
            .map(|sample| whole(sample.value))
            .sum();
        *count = all - below;
        below = all;
    }
    outcome.count = metrics.count(&format!("{}_count", side.metric()), labels);
    outcome.sum_ns = whole(metrics.sum(&format!("{}_sum", side.metric()), labels) * 1e9);
    outcome
}

/// Whether this is the upper bound of the bucket, in seconds.
fn is_bound(le: f64, index: usize) -> bool {
    match BOUNDS_NS.get(index) {
        #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53")]
        Some(&bound) => (le * 1e9 - bound as f64).abs() < 1.0,
        None => index == BUCKETS - 1 && le.is_infinite(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and sums of a test stay far below 2^53"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Awaits a state of the exposition in which nothing has vanished; gives its metrics and the balance.
///
/// # Errors
/// If the figures do not come to agree, or never look as `wanted`.
pub fn settled(
    agent: &Agent,
    what: &str,
    mut wanted: impl FnMut(&Metrics, &Balance) -> std::result::Result<(), String>,
) -> Result<Metrics> {
    eventually(what, SETTLE_LIMIT, || {
        let metrics = agent.metrics().map_err(|error| error.to_string())?;
        let balance = Balance::of(&metrics);
        if !balance.is_conserved() {
            return Err(format!("not conserved: {}", State(&metrics)));
        }
        wanted(&metrics, &balance).map_err(|seen| format!("{}; {seen}", State(&metrics)))?;
        Ok(metrics)
    })
}

/// Awaits that the series with `labels` are exactly these calls, and that nothing has vanished.
///
/// # Errors
/// If they are not.
pub fn expect_counts(
    agent: &Agent,
    side: Side,
    labels: &[(&str, &str)],
    wanted: &Counts,
) -> Result<Metrics> {
    settled(
        agent,
        &format!("{side:?} series {labels:?}"),
        |metrics, _| {
            let seen = counts(metrics, side, labels);
            if seen == *wanted {
                return Ok(());
            }
            Err(Difference { seen, wanted }.to_string())
        },
    )
}

/// Awaits these calls in both series, without labels.
///
/// # Errors
/// If they are not there.
pub fn expect_both(agent: &Agent, wanted: &Counts) -> Result<Metrics> {
    expect_counts(agent, Side::Client, &[], wanted)?;
    expect_counts(agent, Side::Server, &[], wanted)
}

/// Counts from rows of method, status and count.
#[must_use]
pub fn rows(rows: &[(&str, &str, u64)]) -> Counts {
    rows.iter()
        .map(|&(method, status, count)| {
            let label = if method == OTHER {
                OTHER.to_owned()
            } else {
                label_of(method)
            };
            ((label, status.to_owned()), count)
        })
        .collect()
}

/// Where two counts differ.
struct Difference<'a> {
    seen: Counts,
    wanted: &'a Counts,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: std::collections::BTreeSet<_> =
            self.seen.keys().chain(self.wanted.keys()).collect();
        for key in keys {
            let [seen, wanted] = [&self.seen, self.wanted].map(|counts| counts.get(key));
            if seen != wanted {
                let [seen, wanted] = [seen, wanted].map(|count| count.copied().unwrap_or(0));
                write!(f, "{} {}: {seen} instead of {wanted}; ", key.0, key.1)?;
            }
        }
        Ok(())
    }
}
