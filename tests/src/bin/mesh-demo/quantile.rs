//! Quantiles of a histogram in a scrape.

use mesh_tests::metrics::Metrics;

/// The quantile of a histogram, interpolated within its bucket as Prometheus' `histogram_quantile` does; zero if the
/// histogram is empty.
pub(crate) fn quantile(metrics: &Metrics, name: &str, labels: &[(&str, &str)], share: f64) -> f64 {
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
    let rank = share * buckets.last().map_or(0.0, |(_, total)| *total);
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
