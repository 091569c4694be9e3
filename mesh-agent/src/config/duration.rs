//! Durations in the form of Gateway API (GEP-2257): one to four groups of up to five digits and `h`, `m`, `s` or `ms`.

use serde::Deserialize;
use serde::de::{Error, Unexpected};

/// What is accepted, as messages say it.
pub(super) const EXPECTED: &str = "a duration like 2s, 500ms or 1h30m";

/// A duration of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Duration(pub(super) std::time::Duration);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text)
            .map(Self)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED))
    }
}

/// Reads a duration; `None`: it is none.
pub(super) fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text;
    let mut groups = 0;
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit_and_rest) = rest.split_at_checked(digits)?;
        let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        let (after, unit_ms) = units
            .iter()
            .find_map(|(unit, ms)| Some((unit_and_rest.strip_prefix(unit)?, *ms)))?;
        if digits > 5 {
            return None;
        }
        // Five digits of hours, four times, are far below the range.
        total_ms += number.parse::<u64>().ok()? * unit_ms;
        rest = after;
        groups += 1;
    }
    (1..=4)
        .contains(&groups)
        .then(|| std::time::Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests {
    use super::parse_duration;

    #[test]
    fn durations_have_the_form_of_gateway_api() {
        for (text, expected_ms) in [
            ("2s", Some(2_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("99999h99999h99999h99999h", Some(4 * 99_999 * 3_600_000)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("100000s", None),
            ("1h1m1s1ms1h", None),
            ("1 s", None),
        ] {
            let expected = expected_ms.map(std::time::Duration::from_millis);
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }
}
