//! Numbers in header values, raw or Huffman-coded.

/// Reads characters from the front of an encoded string of at most 16 bytes.
#[derive(Clone, Copy)]
pub(super) struct Characters {
    /// What is left, the next bits on top.
    bits: u64,
    /// The 64 bits behind, for the Huffman code of nine characters.
    behind: u64,
    bits_left: u32,
    is_huffman: bool,
}

/// The character is none of a number.
pub(super) const NONE: u32 = u32::MAX;

impl Characters {
    /// `head`: the first 16 bytes, little-endian.
    #[inline(always)]
    pub(super) const fn new(head: [u64; 2], length: u32, is_huffman: bool) -> Self {
        let length = if length > 16 { 16 } else { length };
        Self {
            bits: head[0].swap_bytes(),
            behind: head[1].swap_bytes(),
            bits_left: length * 8,
            is_huffman,
        }
    }

    #[inline(always)]
    fn take(&mut self, count: u32) -> u64 {
        let taken = self.bits >> (64 - count);
        self.bits = (self.bits << count) | (self.behind >> (64 - count));
        self.behind <<= count;
        self.bits_left -= count;
        taken
    }

    /// The value of the next character if it is a digit, else [`NONE`], and nothing is taken.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a digit")]
    pub(super) fn digit(&mut self) -> u32 {
        if !self.is_huffman {
            let byte = (self.bits >> 56) as u32;
            if self.bits_left < 8 || byte.wrapping_sub(0x30) > 9 {
                return NONE;
            }
            return self.take(8) as u32 - 0x30;
        }
        // '0' to '2' have five bits, 00000 to 00010; '3' to '9' six, 011001 to 011111.
        let five = (self.bits >> 59) as u32;
        if self.bits_left >= 5 && five <= 2 {
            return self.take(5) as u32;
        }
        let six = (self.bits >> 58) as u32;
        if self.bits_left >= 6 && six.wrapping_sub(0x19) <= 6 {
            return self.take(6) as u32 - 0x19 + 3;
        }
        NONE
    }

    /// Whether only padding is left: ones, fewer than eight (RFC 7541 section 5.2).
    #[inline(always)]
    pub(super) fn is_at_end(&self) -> bool {
        if self.bits_left == 0 {
            return true;
        }
        self.is_huffman
            && self.bits_left < 8
            && self.bits >> (64 - self.bits_left) == (1 << self.bits_left) - 1
    }

    /// The unit of a `grpc-timeout`; zero: none.
    #[inline(always)]
    fn unit(&mut self) -> u8 {
        let (unit, bits) = if self.is_huffman {
            match self.bits >> 57 {
                0b110_0011 => (b'H', 7),
                0b110_1000 => (b'M', 7),
                0b110_1110 => (b'S', 7),
                0b101_0010 | 0b101_0011 => (b'm', 6),
                0b101_1010 | 0b101_1011 => (b'u', 6),
                0b101_0100 | 0b101_0101 => (b'n', 6),
                _ => (0, 0),
            }
        } else {
            (self.bits.to_be_bytes()[0], 8)
        };
        if bits == 0 || self.bits_left < bits {
            return 0;
        }
        self.take(bits);
        unit
    }
}

/// A number of at most three digits and nothing else; [`NONE`] otherwise.
#[inline(always)]
pub(super) fn short_number(head: [u64; 2], length: u32, is_huffman: bool) -> u32 {
    let mut characters = Characters::new(head, length, is_huffman);
    let mut number = characters.digit();
    if number == NONE {
        return NONE;
    }
    for _ in 0..2 {
        let digit = characters.digit();
        if digit == NONE {
            break;
        }
        number = number * 10 + digit;
    }
    if characters.is_at_end() { number } else { NONE }
}

/// A `grpc-timeout` (at most eight digits and a unit) in microseconds, at least one; zero: malformed.
#[inline(always)]
pub(super) fn timeout_us(head: [u64; 2], length: u32, is_huffman: bool) -> u64 {
    let mut characters = Characters::new(head, length, is_huffman);
    let mut number = 0;
    for _ in 0..8 {
        let digit = characters.digit();
        if digit == NONE {
            break;
        }
        number = number * 10 + u64::from(digit);
    }
    let unit = characters.unit();
    if !characters.is_at_end() {
        return 0;
    }
    // At most 10^8 hours: in microseconds that fits, in nanoseconds it would not.
    match unit {
        b'H' => number * 3_600_000_000,
        b'M' => number * 60_000_000,
        b'S' => number * 1_000_000,
        b'm' => number * 1_000,
        b'u' => number,
        b'n' if number != 0 => (number / 1_000).max(1),
        _ => 0,
    }
}
