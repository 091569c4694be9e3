//! The grammar of `grpc-timeout` (gRPC `PROTOCOL-HTTP2.md`, "Timeout").

use std::time::Duration;

const DIGITS_MAX: usize = 8;

/// The largest number that fits the digits.
const NUMBER_MAX: u128 = 99_999_999;

const SECOND_NS: u128 = 1_000_000_000;

/// Units from the finest to the coarsest, with their length in nanoseconds.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', SECOND_NS),
    (b'M', 60 * SECOND_NS),
    (b'H', 3_600 * SECOND_NS),
];

/// How long a `grpc-timeout` lets a call take; `None` if the value is malformed.
///
/// The grammar asks for a positive number; zero is taken as gRPC's own servers take it, as a deadline that has passed.
#[must_use]
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (_, length_ns) = UNITS.iter().find(|(letter, _)| letter == unit)?;
    let add = |number: u128, digit: &u8| number * 10 + u128::from(digit - b'0');
    let ns = digits.iter().fold(0, add) * length_ns;
    let seconds = u64::try_from(ns / SECOND_NS).ok()?;
    let rest_ns = u32::try_from(ns % SECOND_NS).ok()?;
    Some(Duration::new(seconds, rest_ns))
}

/// A `grpc-timeout` to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutText {
    bytes: [u8; DIGITS_MAX + 1],
    length: usize,
}

impl TimeoutText {
    /// The longest timeout that is not above `timeout`: rounded down, so that upstream never gets more time than is left.
    /// Never 0, which the grammar does not allow: where nothing is left it is a nanosecond.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let ns = timeout.as_nanos().max(1);
        let fits = UNITS
            .into_iter()
            .find(|(_, length_ns)| ns / length_ns <= NUMBER_MAX);
        let (unit, number) = fits.map_or((b'H', NUMBER_MAX), |(unit, length_ns)| {
            (unit, ns / length_ns)
        });
        // It fits: no unit finds more than eight digits.
        Self::write(u64::try_from(number).unwrap_or(1), unit)
    }

    fn write(number: u64, unit: u8) -> Self {
        let mut text = Self {
            bytes: [0; DIGITS_MAX + 1],
            length: 0,
        };
        let mut place = 10_u64.pow(7);
        while place > 0 {
            let digit = (number / place) % 10;
            if digit > 0 || text.length > 0 || place == 1 {
                text.push(b"0123456789"[usize::try_from(digit).unwrap_or(0)]);
            }
            place /= 10;
        }
        text.push(unit);
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(free) = self.bytes.get_mut(self.length) {
            *free = byte;
            self.length += 1;
        }
    }

    /// The header's value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::{TimeoutText, UNITS, parse_timeout};
    use proptest::prelude::proptest;
    use std::time::Duration;

    fn written(timeout: Duration) -> String {
        String::from_utf8(TimeoutText::new(timeout).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
        for (value, expected) in [
            ("1n", Some(Duration::from_nanos(1))),
            ("20u", Some(Duration::from_micros(20))),
            ("300m", Some(Duration::from_millis(300))),
            ("4S", Some(Duration::from_secs(4))),
            ("5M", Some(Duration::from_secs(300))),
            ("6H", Some(Duration::from_secs(21_600))),
            ("99999999H", Some(Duration::from_secs(359_999_996_400))),
            ("00000007S", Some(Duration::from_secs(7))),
            ("0S", Some(Duration::ZERO)),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("5", None),
            ("5s", None),
            ("+5S", None),
            ("-5S", None),
            ("5 S", None),
            ("5S ", None),
            ("0x5S", None),
        ] {
            assert_eq!(parse_timeout(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn what_is_left_is_written_in_the_finest_unit_that_fits() {
        for (timeout, expected) in [
            (Duration::ZERO, "1n"),
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(99), "99000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(written(timeout), expected, "{timeout:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_longest_that_is_not_above(seconds in 0_u64..400_000_000_000, ns in 1_u32..1_000_000_000, shift in 0_u32..39) {
            let timeout = Duration::new(seconds >> shift, ns);
            let text = TimeoutText::new(timeout);
            let read = parse_timeout(text.as_bytes()).unwrap();
            assert!(read <= timeout && read > Duration::ZERO, "{text:?}");
            for (_, length_ns) in UNITS {
                let most = (timeout.as_nanos() / length_ns).min(99_999_999) * length_ns;
                assert!(most <= read.as_nanos(), "{text:?}");
            }
        }

        #[test]
        fn no_value_is_too_strange(value: Vec<u8>) {
            if let Some(timeout) = parse_timeout(&value) {
                assert!(timeout <= Duration::from_secs(359_999_996_400));
            }
        }
    }
}
