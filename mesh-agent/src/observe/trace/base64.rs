//! Base64 of a fixed length (RFC 4648 section 4), as headers that end in `-bin` have it: with padding or without.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads exactly `N` bytes.
pub(super) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let end = text.iter().rposition(|byte| *byte != b'=')? + 1;
    let padding = text.len() - end;
    let is_padded_right = padding == 0 || (text.len().is_multiple_of(4) && padding <= 2);
    if !is_padded_right || end != (N * 4).div_ceil(3) {
        return None;
    }
    let mut bytes = [0; N];
    let mut left = bytes.iter_mut();
    let (mut held, mut bits) = (0_u32, 0);
    for byte in &text[..end] {
        let digit = ALPHABET.iter().position(|digit| digit == byte)?;
        held = held << 6 | u32::try_from(digit).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *left.next()? = u8::try_from(held >> bits & 0xff).ok()?;
        }
        held &= (1 << bits) - 1;
    }
    Some(bytes)
}

/// Writes it without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 4).div_ceil(3));
    for piece in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=piece.len()].copy_from_slice(piece);
        let bits = u32::from_be_bytes(padded);
        for place in 0..=piece.len() {
            let digit = bits >> (18 - 6 * place) & 63;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_rfc_4648_are_read_and_written() {
        assert_eq!(encode(b"f"), "Zg");
        assert_eq!(encode(b"fo"), "Zm8");
        assert_eq!(encode(b"foobar"), "Zm9vYmFy");
        assert_eq!(decode(b"Zg=="), Some(*b"f"));
        assert_eq!(decode(b"Zg"), Some(*b"f"));
        assert_eq!(decode(b"Zm9vYmFy"), Some(*b"foobar"));
        for wrong in ["", "=", "Z", "Zg=", "Zg===", "Zm8", "Z-", "Z g"] {
            assert_eq!(decode::<1>(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(bytes: [u8; 29]) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_none(text in prop::collection::vec(any::<u8>(), 0..50)) {
            let _any = decode::<29>(&text);
        }
    }
}
