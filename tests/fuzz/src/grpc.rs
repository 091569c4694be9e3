//! Any bytes as the values of gRPC's headers, against what the specification says of them, written out once more.

use mesh_agent::grpc::{
    Code, GrpcPath, PushBack, TimeoutText, decode_message, encode_message, parse_timeout,
};
use std::time::Duration;

/// Reads any bytes as each of the values.
///
/// # Panics
/// When one is read otherwise than the specification says.
pub fn check_grpc(bytes: &[u8]) {
    check_timeout(bytes);
    check_status(bytes);
    check_message(bytes);
    check_path(bytes);
    check_push_back(bytes);
}

/// `TimeoutValue TimeoutUnit`: a positive integer of at most 8 digits, and a letter (`PROTOCOL-HTTP2.md`).
fn check_timeout(bytes: &[u8]) {
    let wanted = bytes.split_last().and_then(|(unit, digits)| {
        let unit_ns: u128 = match unit {
            b'H' => 3_600_000_000_000,
            b'M' => 60_000_000_000,
            b'S' => 1_000_000_000,
            b'm' => 1_000_000,
            b'u' => 1_000,
            b'n' => 1,
            _ => return None,
        };
        let count = whole_number(digits).filter(|_| digits.len() <= 8)?;
        Some(count * unit_ns)
    });
    let read = parse_timeout(bytes);
    assert_eq!(read.map(|timeout| timeout.as_nanos()), wanted);

    let mut seed = [0; 12];
    let length = bytes.len().min(seed.len());
    seed[..length].copy_from_slice(&bytes[..length]);
    let [a, b, c, d, e, f, g, h, ns @ ..] = seed;
    let seconds = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> (ns[0] % 64);
    let left = Duration::new(seconds, u32::from_be_bytes(ns) % 1_000_000_000);
    let text = TimeoutText::new(left);
    let sent = parse_timeout(text.as_bytes()).expect("what is written can be read");
    assert!(
        sent <= left.max(Duration::from_nanos(1)),
        "{left:?}: {text:?}"
    );
    assert!(!sent.is_zero(), "{left:?}: {text:?}");
    // Rounded by less than one in 100,000 (the next unit is a thousand times as long), unless there is more than can be said.
    let is_close = (left - sent.min(left)).as_nanos() <= left.as_nanos() / 100_000;
    let is_longest = sent.as_nanos() == 99_999_999 * 3_600_000_000_000;
    assert!(is_close || is_longest, "{left:?}: {text:?}");
}

/// `Status → "grpc-status" 1*DIGIT ; 0-9`.
fn check_status(bytes: &[u8]) {
    let wanted = match whole_number(bytes) {
        Some(number @ 0..=16) => number,
        // UNKNOWN
        Some(_) | None => 2,
    };
    assert_eq!(u128::from(Code::parse(bytes).number()), wanted, "{bytes:?}");
}

/// `1*DIGIT`, as long as it fits.
fn whole_number(digits: &[u8]) -> Option<u128> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    text.parse().ok()
}

/// `Status-Message → "grpc-message" Percent-Encoded`; whatever is wrong with it, it is shown.
fn check_message(bytes: &[u8]) {
    let mut wanted = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes
            .get(at + 1..at + 3)
            .filter(|digits| byte == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                wanted.push(value);
                at += 3;
            }
            None => {
                wanted.push(byte);
                at += 1;
            }
        }
    }
    let decoded = decode_message(bytes);
    assert_eq!(decoded, String::from_utf8_lossy(&wanted));

    let encoded = encode_message(&decoded);
    let is_plain = |byte: u8| (0x20..=0x7e).contains(&byte);
    assert!(encoded.bytes().all(is_plain), "{encoded:?}");
    assert_eq!(decode_message(encoded.as_bytes()), decoded);
}

/// `Path → ":path" "/" Service-Name "/" {method name}`.
fn check_path(bytes: &[u8]) {
    let parts: Vec<_> = bytes.split(|byte| *byte == b'/').collect();
    let is_plain = |byte: &u8| (0x21..=0x7e).contains(byte) && *byte != b'?' && *byte != b'#';
    let wanted = match *parts {
        [[], service @ [_, ..], method @ [_, ..]] if bytes.iter().all(is_plain) => {
            Some((service, method))
        }
        _ => None,
    };
    let read = GrpcPath::parse(bytes);
    let read = read.map(|path| (path.service().as_bytes(), path.method().as_bytes()));
    assert_eq!(read, wanted);
}

/// A value that is not a whole number, or a negative one, forbids retries (gRFC A6).
fn check_push_back(bytes: &[u8]) {
    let wanted = match whole_number(bytes) {
        Some(milliseconds @ 0..=0x7fff_ffff) => {
            let milliseconds = u64::try_from(milliseconds).expect("just compared");
            PushBack::After(Duration::from_millis(milliseconds))
        }
        Some(_) | None => PushBack::Stop,
    };
    assert_eq!(PushBack::of([bytes].into_iter()), Some(wanted), "{bytes:?}");
    assert_eq!(
        PushBack::of([bytes, bytes].into_iter()),
        Some(PushBack::Stop)
    );
}
