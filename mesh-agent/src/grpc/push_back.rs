//! What a server says of trying again: `grpc-retry-pushback-ms` (gRFC A6, "Pushback").

use super::code::number;
use std::time::Duration;

/// A server's word on retries of the call it has just failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushBack {
    /// The next try is to come after this time.
    After(Duration),
    /// No other try: the value is negative or cannot be read.
    Stop,
}

impl PushBack {
    /// Reads the values of all headers of that name; `None` without one. More than one cannot be read.
    pub fn of<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let first = values.next()?;
        if values.next().is_some() {
            return Some(Self::Stop);
        }
        // It is an `int32` in every implementation.
        let milliseconds =
            number(first).filter(|milliseconds| i32::try_from(*milliseconds).is_ok());
        Some(milliseconds.map_or(Self::Stop, |milliseconds| {
            Self::After(Duration::from_millis(milliseconds.into()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::PushBack;
    use std::time::Duration;

    #[test]
    fn what_is_negative_or_unreadable_stops() {
        let after = |milliseconds| Some(PushBack::After(Duration::from_millis(milliseconds)));
        for (values, expected) in [
            (&[][..], None),
            (&["0"], after(0)),
            (&["250"], after(250)),
            (&["2147483647"], after(2_147_483_647)),
            (&["2147483648"], Some(PushBack::Stop)),
            (&["-1"], Some(PushBack::Stop)),
            (&["+1"], Some(PushBack::Stop)),
            (&["-2147483648"], Some(PushBack::Stop)),
            (&[""], Some(PushBack::Stop)),
            (&["1.5"], Some(PushBack::Stop)),
            (&["10ms"], Some(PushBack::Stop)),
            (&["10", "10"], Some(PushBack::Stop)),
        ] {
            let values = values.iter().map(|value: &&str| value.as_bytes());
            assert_eq!(PushBack::of(values), expected);
        }
    }
}
