//! The Huffman code of header compression (RFC 7541, appendix B). It is canonical: the lengths of its codes say all of it.
//!
//! Own tables, since `httlib-huffman` takes zeros and whole bytes for padding, and goes by half bytes.

use bytes::{BufMut as _, BytesMut};

use super::Invalid;

/// The symbol that ends a text and never stands in one: its code is what padding begins with.
const END: usize = 256;

/// Bits of the longest code.
const LONGEST: u8 = 30;

/// Bits of the codes that one look finds: those of nearly everything in a header.
const SHORT: usize = 8;

/// Bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6,
    8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
    6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7,
    6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22,
    20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26,
    24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
    24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26,
    27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30
];

/// Symbols by the length of their code, then by themselves: in the order of their codes.
const SORTED: [u16; 257] = sorted();
static SYMBOLS: [u16; 257] = SORTED;

/// Each symbol's code, and its bits.
static CODES: [(u32, u8); 257] = codes();

/// What the codes of each length are below, left-aligned, and the place in `SYMBOLS` of the code zero of that length.
static LIMITS: [(u64, u64); LONGEST as usize + 1] = limits();

/// The symbol that eight bits begin with, and the bits of its code; zero: a longer one.
static FIRST: [(u8, u8); 256] = first();

/// The text that `code` stands for.
pub(super) fn decode(code: &[u8]) -> Result<Vec<u8>, Invalid> {
    // The shortest code has five bits.
    let mut text = Vec::with_capacity(code.len() * 8 / 5);
    let mut rest = code;
    let mut bits = Bits { window: 0, held: 0 };
    loop {
        let mut window = bits.window;
        if bits.held < u32::from(LONGEST) {
            bits.fill(&mut rest);
            if bits.are_padding() {
                return Ok(text);
            }
            window = bits.window | bits.unheld();
        }
        let (symbol, length) = match FIRST[(window >> 56) as usize] {
            (_, 0) => long(window >> 32)?,
            found => found,
        };
        // Only what was made up could make the code whole: it is padding of zeros, or too much of it.
        let length = u32::from(length);
        if length > bits.held {
            return Err(Invalid::Huffman);
        }
        text.push(symbol);
        bits.window <<= length;
        bits.held -= length;
    }
}

/// The symbol that 32 bits begin with, if its code is a long one.
fn long(window: u64) -> Result<(u8, u8), Invalid> {
    for (length, (limit, base)) in (0_u8..).zip(LIMITS).skip(SHORT + 1) {
        if window < limit {
            let place = (window >> (32 - length)).wrapping_add(base);
            let symbol = usize::try_from(place)
                .ok()
                .and_then(|place| SYMBOLS.get(place));
            // The end is the last of all, and no byte.
            return symbol
                .and_then(|symbol| u8::try_from(*symbol).ok())
                .map(|symbol| (symbol, length))
                .ok_or(Invalid::Huffman);
        }
    }
    Err(Invalid::Huffman)
}

/// Bits of a code that are not decoded yet: the first `held` of `window`, and zeros behind.
struct Bits {
    window: u64,
    held: u32,
}

impl Bits {
    /// Takes what fits off `rest`, if fewer than 32 bits are held.
    fn fill(&mut self, rest: &mut &[u8]) {
        if let Some((four, behind)) = rest.split_first_chunk() {
            *rest = behind;
            self.window |= u64::from(u32::from_be_bytes(*four)) << (32 - self.held);
            self.held += 32;
            return;
        }
        for byte in std::mem::take(rest) {
            self.window |= u64::from(*byte) << (56 - self.held);
            self.held += 8;
        }
    }

    /// Ones in place of the bits that are not held: what the code of the end begins with.
    const fn unheld(&self) -> u64 {
        match u64::MAX.checked_shr(self.held) {
            Some(ones) => ones,
            None => 0,
        }
    }

    const fn are_padding(&self) -> bool {
        self.held < 8 && self.window | self.unheld() == u64::MAX
    }
}

/// How many bytes the code of `text` has.
pub(super) fn coded_bytes(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|byte| usize::from(CODES[usize::from(*byte)].1))
        .sum();
    bits.div_ceil(8)
}

/// Writes the code of `text`.
pub(super) fn encode(out: &mut BytesMut, text: &[u8]) {
    let mut window = 0_u64;
    let mut held = 0_u32;
    for byte in text {
        let (code, length) = CODES[usize::from(*byte)];
        window = window << length | u64::from(code);
        held += u32::from(length);
        if held >= 32 {
            held -= 32;
            out.put_uint((window >> held) & u64::from(u32::MAX), 4);
        }
    }
    let padding = held.next_multiple_of(8) - held;
    let last = window << padding | ((1 << padding) - 1);
    let bytes = (held + padding) / 8;
    out.put_uint(last & ((1 << (8 * bytes)) - 1), bytes as usize);
}

const fn sorted() -> [u16; 257] {
    let mut sorted = [0; 257];
    let mut place = 0;
    let mut length = 1;
    while length <= LONGEST {
        let mut symbol = 0_u16;
        while symbol as usize <= END {
            if LENGTHS[symbol as usize] == length {
                sorted[place] = symbol;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    sorted
}

const fn codes() -> [(u32, u8); 257] {
    let mut codes = [(0, 0); 257];
    let mut code = 0;
    let mut length = 0;
    let mut place = 0;
    while place <= END {
        let symbol = SORTED[place] as usize;
        code <<= LENGTHS[symbol] - length;
        length = LENGTHS[symbol];
        codes[symbol] = (code, length);
        code += 1;
        place += 1;
    }
    codes
}

const fn limits() -> [(u64, u64); LONGEST as usize + 1] {
    let codes = codes();
    let mut limits = [(0, 0); LONGEST as usize + 1];
    let mut place = 0;
    while place <= END {
        let (code, length) = codes[SORTED[place] as usize];
        let limit = (code as u64 + 1) << (32 - length);
        limits[length as usize] = (limit, (place as u64).wrapping_sub(code as u64));
        place += 1;
    }
    limits
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a symbol with a short code is a byte"
)]
const fn first() -> [(u8, u8); 256] {
    let codes = codes();
    let mut first = [(0, 0); 256];
    let mut symbol = 0;
    while symbol < END {
        let (code, length) = codes[symbol];
        if length as usize <= SHORT {
            let begin = (code as usize) << (SHORT - length as usize);
            let mut behind = 0;
            while behind < 1 << (SHORT - length as usize) {
                first[begin + behind] = (symbol as u8, length);
                behind += 1;
            }
        }
        symbol += 1;
    }
    first
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{Invalid, coded_bytes, decode, encode};

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode(&mut out, text);
        assert_eq!(out.len(), coded_bytes(text));
        out.to_vec()
    }

    #[test]
    fn every_code_is_another_implementation_s() {
        for byte in 0..=u8::MAX {
            let mut expected = vec![];
            httlib_huffman::encode(&[byte], &mut expected).unwrap();
            assert_eq!(encoded(&[byte]), expected, "{byte}");
            assert_eq!(decode(&expected), Ok(vec![byte]));
        }
    }

    #[test]
    fn what_no_encoder_pads_with_is_refused() {
        // 00011 is "a", 1111111111111110000 a backslash, thirty ones the end.
        let rows: [(&str, &[u8], bool); 10] = [
            ("nothing", &[], true),
            ("three ones of padding", &[0b0001_1111], true),
            ("seven ones of padding", &[0x18, 0xc6, 0x31, 0xff], true),
            ("zeros for padding", &[0b0001_1000], false),
            ("a zero at the end of it", &[0b0001_1110], false),
            ("nothing but padding", &[0xff], false),
            ("a byte too much of it", &[0b0001_1111, 0xff], false),
            ("the end", &[0xff, 0xff, 0xff, 0xff], false),
            ("the end within", &[0xff, 0xff, 0xff, 0xfc, 0x1f], false),
            ("a long code cut", &[0xff, 0xfe], false),
        ];
        for (what, code, is_valid) in rows {
            let decoded = decode(code);
            assert_eq!(decoded.is_ok(), is_valid, "{what}: {decoded:?}");
            assert!(is_valid || decoded == Err(Invalid::Huffman), "{what}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_decoded_as_it_was_encoded(text in vec(any::<u8>(), 0..80), common in "[a-z0-9/.-]{0,80}") {
            for text in [&text[..], common.as_bytes()] {
                prop_assert_eq!(decode(&encoded(text)).unwrap(), text);
            }
        }

        #[test]
        fn a_code_that_is_taken_is_the_only_one(code in vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decode(&code) {
                prop_assert_eq!(encoded(&text), code);
            }
        }
    }
}
