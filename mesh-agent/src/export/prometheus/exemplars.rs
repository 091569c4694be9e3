//! Exemplars in the exposition. They are put behind the samples of their buckets when the text is there: the encoder takes none
//! but those of its own histograms, which would count every call a second time.

use crate::observe::Exemplar;
use mesh_common::histogram::BUCKETS;
use std::fmt::{self, Write as _};
use std::time::UNIX_EPOCH;

/// A histogram family as it was written.
pub(super) struct Written {
    /// Its name, with its unit.
    pub(super) name: &'static str,
    /// The first boundary that is shown.
    pub(super) first_boundary: usize,
}

/// Puts exemplars into the text. `series`: those of each series of the family, in the order of the text.
///
/// # Errors
/// Never for want of anything but a formatter that fails, which a string does not.
pub(super) fn add(
    text: String,
    family: &Written,
    series: &[&[Exemplar]],
) -> Result<String, fmt::Error> {
    if series.iter().all(|exemplars| exemplars.is_empty()) {
        return Ok(text);
    }
    let sample = format!("{}_bucket{{", family.name);
    let shown = BUCKETS - family.first_boundary;
    let mut with = String::with_capacity(text.len() + 128 * series.len());
    let mut buckets = 0;
    for line in text.split_inclusive('\n') {
        if !line.starts_with(&sample) {
            with.push_str(line);
            continue;
        }
        let (number, bucket) = (buckets / shown, buckets % shown);
        buckets += 1;
        let own = series.get(number).copied().unwrap_or_default();
        // What is faster than the first boundary shown counts there.
        let is_here =
            |exemplar: &&Exemplar| exemplar.bucket.saturating_sub(family.first_boundary) == bucket;
        // The latest, where several buckets are shown as one.
        match own
            .iter()
            .filter(is_here)
            .max_by_key(|exemplar| exemplar.ended)
        {
            Some(exemplar) => {
                with.push_str(line.trim_end_matches('\n'));
                write(&mut with, exemplar)?;
            }
            None => with.push_str(line),
        }
    }
    Ok(with)
}

/// ` # {trace_id="…"} seconds time`, as OpenMetrics 1.0 has it.
fn write(text: &mut String, exemplar: &Exemplar) -> fmt::Result {
    let Exemplar {
        trace_id,
        duration,
        ended,
        ..
    } = exemplar;
    text.push_str(" # {trace_id=\"");
    trace_id
        .iter()
        .try_for_each(|byte| write!(text, "{byte:02x}"))?;
    let at = ended.duration_since(UNIX_EPOCH).unwrap_or_default();
    writeln!(
        text,
        "\"}} {} {:.3}",
        duration.as_secs_f64(),
        at.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::{Written, add};
    use crate::observe::Exemplar;
    use mesh_common::histogram::{BOUNDARIES_NS, BUCKETS};
    use std::time::{Duration, UNIX_EPOCH};

    const FAMILY: Written = Written {
        name: "calls",
        first_boundary: 2,
    };

    /// Another family's bucket, then two series of the family.
    fn text() -> String {
        let mut text = "other_bucket{le=\"1\"} 1\n".to_owned();
        for series in ["a", "b"] {
            text += &format!("calls_sum{{s=\"{series}\"}} 1\n");
            for bucket in 2..BUCKETS {
                text += &format!("calls_bucket{{s=\"{series}\",le=\"{bucket}\"}} 1\n");
            }
        }
        text + "# EOF\n"
    }

    fn exemplar(ns: u64, ended: u64) -> Exemplar {
        Exemplar::new(
            [0xab; 16],
            Duration::from_nanos(ns),
            UNIX_EPOCH + Duration::from_secs(ended),
        )
    }

    #[test]
    fn an_exemplar_stands_behind_its_bucket_and_nothing_else_changes() {
        let fast = [exemplar(1, 20), exemplar(BOUNDARIES_NS[1], 10)];
        let slow = [
            exemplar(u64::MAX, 1_700_000_000),
            exemplar(BOUNDARIES_NS[3], 5),
        ];
        let with = add(text(), &FAMILY, &[&fast, &slow]).unwrap();
        let changed: Vec<&str> = with.lines().filter(|line| line.contains(" # ")).collect();
        let trace = "ab".repeat(16);
        let last = BUCKETS - 1;
        assert_eq!(
            changed,
            [
                format!(
                    "calls_bucket{{s=\"a\",le=\"2\"}} 1 # {{trace_id=\"{trace}\"}} 0.000000001 20.000"
                ),
                format!(
                    "calls_bucket{{s=\"b\",le=\"3\"}} 1 # {{trace_id=\"{trace}\"}} 0.0001 5.000"
                ),
                format!(
                    "calls_bucket{{s=\"b\",le=\"{last}\"}} 1 # {{trace_id=\"{trace}\"}} 18446744073.709553 1700000000.000"
                ),
            ]
        );
        let rest = with
            .lines()
            .map(|line| line.split(" # {trace").next().unwrap());
        assert!(rest.eq(text().lines()));
    }

    #[test]
    fn without_exemplars_the_text_stays() {
        assert_eq!(add(text(), &FAMILY, &[&[], &[]]).unwrap(), text());
    }
}
