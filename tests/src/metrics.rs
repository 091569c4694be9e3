//! An OpenMetrics exposition, read.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Metric name with its suffix (`_total`, `_bucket`, …).
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// All samples of one scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    /// Reads a scrape.
    ///
    /// # Errors
    /// At the first line that is not OpenMetrics, or if the final `# EOF` is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let unreadable = |line: &str| Error::Unreadable {
            from: "/metrics".to_owned(),
            answer: line.to_owned(),
        };
        if !text.trim_end().ends_with("# EOF") {
            return Err(unreadable("does not end with # EOF"));
        }
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| parse_sample(line).ok_or_else(|| unreadable(line)))
            .collect::<Result<_>>()?;
        Ok(Self { samples })
    }

    /// Samples of `name` that carry all of `labels`.
    pub fn find<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|&(key, value)| sample.labels.get(key).is_some_and(|have| have == value))
        })
    }

    /// Sum of the samples of `name` that carry all of `labels`; zero if there is none, as a
    /// counter that has never moved need not be shown.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|sample| sample.value).sum()
    }

    /// [`Metrics::sum`] of a counter, as the whole number it is.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters of a test stay far below 2^53"
    )]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels) as u64
    }

    /// Every sample, in the order of the exposition.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

/// Parses `name{key="value",…} 1.0 [timestamp] [# exemplar]`.
fn parse_sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = parse_value(after)?;
            labels.insert(key.trim_start_matches(',').to_owned(), value);
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Parses up to the closing quote, undoing the three escapes of the format.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_escapes_are_read() {
        let text = "# TYPE a counter\na_total{x=\"1\",y=\"q\\\"}\"} 3\na_total{x=\"2\"} 4 # {} 1\nb 0.5\n# EOF\n";
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!(metrics.count("a_total", &[]), 7);
        assert_eq!(metrics.count("a_total", &[("y", "q\"}")]), 3);
        assert!((metrics.sum("b", &[]) - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_cut_off_exposition_is_refused() {
        assert!(Metrics::parse("a_total 3\n").is_err());
    }
}
