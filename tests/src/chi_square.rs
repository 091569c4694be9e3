//! Whether counts can have come about by chance.

/// Whether `counts` fit equal shares: Pearson's chi-square lies below its 0.999 quantile.
///
/// One sound run in a thousand fails; a row that is chosen 5 % too often among 30,000 fails practically always.
/// # Panics
/// If there are fewer than two or more than eleven counts: the table of quantiles ends there.
#[must_use]
pub fn is_even(counts: &[u64]) -> bool {
    chi_square(counts) < QUANTILES[counts.len() - 2]
}

/// 0.999 quantiles of the chi-square distribution for 1 to 10 degrees of freedom.
const QUANTILES: [f64; 10] = [
    10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322, 26.124, 27.877, 29.588,
];

/// Pearson's statistic against equal shares.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a test stay far below 2^53"
)]
fn chi_square(counts: &[u64]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    counts
        .iter()
        .map(|&count| (count as f64 - expected).powi(2) / expected)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::is_even;

    #[test]
    fn equal_shares_are_even() {
        assert!(is_even(&[9_950, 10_060, 9_990]));
    }

    #[test]
    fn a_preferred_row_is_not() {
        assert!(!is_even(&[10_500, 9_750, 9_750]));
    }

    #[test]
    fn an_unused_row_is_not() {
        assert!(!is_even(&[50, 50, 0]));
    }
}
