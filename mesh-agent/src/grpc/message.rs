//! The coding of `grpc-message` (gRPC `PROTOCOL-HTTP2.md`, "Status-Message").

use std::borrow::Cow;
use std::fmt::Write;

/// Writes a message as a header value: bytes outside of visible ASCII and space, and `%` itself, as `%XX`.
#[must_use]
pub fn encode_message(message: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if message.bytes().all(is_plain) {
        return Cow::Borrowed(message);
    }
    let mut encoded = String::with_capacity(message.len() + 16);
    for byte in message.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else if write!(encoded, "%{byte:02X}").is_err() {
            // A String takes everything that is written to it.
            break;
        }
    }
    Cow::Owned(encoded)
}

/// Reads a header value as people should see it. Never an error, as the specification asks: what is no `%XX` stays as it is,
/// what is no UTF-8 is shown as a replacement character.
#[must_use]
pub fn decode_message(value: &[u8]) -> Cow<'_, str> {
    if !value.contains(&b'%') {
        return String::from_utf8_lossy(value);
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, after @ ..]) => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| (high * 16 + low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, after));
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode_message, encode_message};
    use proptest::prelude::proptest;
    use std::borrow::Cow;

    #[test]
    fn only_what_no_header_holds_is_escaped() {
        for (message, encoded) in [
            ("", ""),
            (
                "no endpoint of shop/inventory",
                "no endpoint of shop/inventory",
            ),
            ("50% off", "50%25 off"),
            ("a\r\nb\t", "a%0D%0Ab%09"),
            ("\u{e4}\u{1f600}", "%C3%A4%F0%9F%98%80"),
            ("~\u{7f}", "~%7F"),
        ] {
            assert_eq!(encode_message(message), encoded);
            assert_eq!(decode_message(encoded.as_bytes()), message);
        }
        assert!(matches!(encode_message("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_coded_wrongly_is_shown_as_it_came() {
        for (value, expected) in [
            (&b"%"[..], "%"),
            (b"%4", "%4"),
            (b"%zz", "%zz"),
            (b"100%%41", "100%A"),
            (b"%c3%a4", "\u{e4}"),
            (b"%ff!", "\u{fffd}!"),
            (b"\xff", "\u{fffd}"),
        ] {
            assert_eq!(decode_message(value), expected);
        }
    }

    proptest! {
        #[test]
        fn every_message_survives(message: String) {
            let encoded = encode_message(&message);
            assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{encoded}");
            assert_eq!(decode_message(encoded.as_bytes()), message);
        }
    }
}
