//! Bytes and durations as people read and write them.

use std::time::Duration;

/// Bytes in binary units: `512 B`, `1.5 KiB`, `20.0 MiB`.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "three digits are shown; 2^52 bytes lose nothing that shows"
)]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        // Where one digit behind the point would round up to 1024.0.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A number of things: `1 error`, `2 errors`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A duration in the unit that leaves one to three digits before the point: `85 µs`, `1.2 ms`, `3.0 s`, `2h05m`.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is checked to be a small positive number of seconds, or saturates"
)]
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds <= 0.0 {
        return "0 s".to_owned();
    }
    if seconds < 0.0009995 {
        return format!("{:.0} µs", seconds * 1e6);
    }
    if seconds < 0.99995 {
        return format!("{:.1} ms", seconds * 1e3);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (minutes, rest) = (whole / 60, whole % 60);
    if minutes < 60 {
        return format!("{minutes}m{rest:02}s");
    }
    let (hours, minutes) = (minutes / 60, minutes % 60);
    if hours < 48 {
        return format!("{hours}h{minutes:02}m");
    }
    format!("{}d{:02}h", hours / 24, hours % 24)
}

/// Reads a duration with its unit: `250us`, `1.5ms`, `2s`, `1m`.
///
/// # Errors
/// If it has no number, no unit, or is longer than a day.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 6] = [
        // Before `s` and `m`, which end or begin them.
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
    ];
    const SECONDS_MAX: f64 = 86_400.0;
    let parsed = UNITS.iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(number * seconds)
    });
    match parsed {
        Some(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!(
            "{text:?} is no duration of at most a day; write 250us, 10ms, 1.5s or 2m"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, duration, parse_duration};
    use std::time::Duration;

    #[test]
    fn a_duration_needs_a_number_and_a_unit() {
        for (text, expected_ns) in [
            ("250us", Some(250_000)),
            ("250µs", Some(250_000)),
            ("1.5 ms", Some(1_500_000)),
            ("0s", Some(0)),
            ("2m", Some(120_000_000_000)),
            ("7ns", Some(7)),
            ("", None),
            ("s", None),
            ("10", None),
            ("-1s", None),
            ("NaNs", None),
            ("infs", None),
            ("2000m", None),
        ] {
            let parsed = parse_duration(text).ok();
            assert_eq!(parsed, expected_ns.map(Duration::from_nanos), "{text}");
        }
    }

    #[test]
    fn one_thing_is_singular() {
        assert_eq!(count(0, "error"), "0 errors");
        assert_eq!(count(1, "error"), "1 error");
    }

    #[test]
    fn bytes_change_unit_at_1024() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (20 * 1024 * 1024, "20.0 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(count), expected, "{count}");
        }
    }

    #[test]
    fn durations_change_unit_without_a_gap() {
        for (seconds, expected) in [
            (0.0, "0 s"),
            (-1.0, "0 s"),
            (f64::NAN, "0 s"),
            (0.000_085, "85 µs"),
            (0.000_999_9, "1.0 ms"),
            (0.001_2, "1.2 ms"),
            (0.999_99, "1.0 s"),
            (3.0, "3.0 s"),
            (59.99, "1m00s"),
            (3_599.0, "59m59s"),
            (7_500.0, "2h05m"),
            (200_000.0, "2d07h"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }
}
