//! Quantiles and their spread.

use serde::Serialize;
use std::fmt;

/// The value that a share of the sorted values does not exceed; zero if there are none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a few thousand values"
    )]
    let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// A figure that was measured in slices: the median slice, and the quarters of slices around it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    /// The first quartile.
    pub(crate) low: f64,
    /// The median.
    pub(crate) median: f64,
    /// The third quartile.
    pub(crate) high: f64,
}

impl Spread {
    /// Of the figures of all slices.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            low: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            high: quantile(&sorted, 0.75),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        let [median, low, high] = [self.median, self.low, self.high];
        let text = format!("{median:.digits$} ({low:.digits$}..{high:.digits$})");
        let width = f.width().unwrap_or(0);
        write!(f, "{text:<width$}")
    }
}
