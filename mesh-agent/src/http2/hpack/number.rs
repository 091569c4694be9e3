//! Numbers that begin within a byte (RFC 7541, 5.1).

use bytes::{BufMut as _, BytesMut};

use super::Invalid;

/// The largest that is taken: no index, table or text is larger.
pub(super) const MAX: usize = 1 << 24;

/// Bytes behind the first: what `MAX` takes, and one that says nothing.
const MORE_BYTES_MAX: u32 = 4;

/// Takes a number off the front of `block`, of whose first byte it has the last `prefix_bits`.
pub(super) fn read(block: &mut &[u8], prefix_bits: u32) -> Result<usize, Invalid> {
    let (&first, mut rest) = block.split_first().ok_or(Invalid::Truncated)?;
    let prefix_max = (1 << prefix_bits) - 1;
    let mut number = usize::from(first) & prefix_max;
    if number == prefix_max {
        let mut is_whole = false;
        for nth in 0..MORE_BYTES_MAX {
            let (&byte, behind) = rest.split_first().ok_or(Invalid::Truncated)?;
            rest = behind;
            number += usize::from(byte & 0x7f) << (7 * nth);
            is_whole = byte & 0x80 == 0;
            if is_whole {
                break;
            }
        }
        if !is_whole || number > MAX {
            return Err(Invalid::Number);
        }
    }
    *block = rest;
    Ok(number)
}

/// Writes `number` behind the bits of `pattern`, which are the first byte's others.
pub(super) fn write(out: &mut BytesMut, pattern: u8, prefix_bits: u32, number: usize) {
    let prefix_max = (1 << prefix_bits) - 1;
    if number < prefix_max {
        out.put_u8(pattern | low_bits(number));
        return;
    }
    out.put_u8(pattern | low_bits(prefix_max));
    let mut rest = number - prefix_max;
    while rest > 0x7f {
        out.put_u8(0x80 | low_bits(rest & 0x7f));
        rest >>= 7;
    }
    out.put_u8(low_bits(rest));
}

#[expect(clippy::cast_possible_truncation, reason = "what fits was checked")]
const fn low_bits(number: usize) -> u8 {
    number as u8
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::{Invalid, MAX, read, write};

    #[test]
    fn the_examples_of_the_rfc_are_read_and_written() {
        // RFC 7541, C.1: (prefix bits, number, bytes).
        let rows: [(u32, usize, &[u8]); 3] =
            [(5, 10, &[10]), (5, 1_337, &[31, 154, 10]), (8, 42, &[42])];
        for (prefix_bits, number, bytes) in rows {
            let mut out = BytesMut::new();
            write(&mut out, 0, prefix_bits, number);
            assert_eq!(out, bytes);
            assert_eq!(read(&mut &*bytes, prefix_bits), Ok(number));
        }
    }

    #[test]
    fn numbers_that_no_peer_needs_are_refused() {
        let rows: [(&[u8], Result<usize, Invalid>); 6] = [
            (&[], Err(Invalid::Truncated)),
            (&[0x1f], Err(Invalid::Truncated)),
            (&[0x1f, 0x80], Err(Invalid::Truncated)),
            (&[0x1f, 0x80, 0x80, 0x80, 0x00], Ok(31)),
            (&[0x1f, 0x80, 0x80, 0x80, 0x80, 0x00], Err(Invalid::Number)),
            (&[0x1f, 0xff, 0xff, 0xff, 0x7f], Err(Invalid::Number)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(read(&mut &*bytes, 5), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_nothing_behind_it(prefix_bits in 4_u32..=7, number in 0..=MAX) {
            let mut out = BytesMut::new();
            write(&mut out, 0, prefix_bits, number);
            out.extend_from_slice(b"behind");
            let mut rest = &out[..];
            prop_assert_eq!(read(&mut rest, prefix_bits), Ok(number));
            prop_assert_eq!(rest, b"behind");
        }
    }
}
