//! Keyed digests of strings that arrive in pieces.

/// Bits of a digest: what a slot of the dynamic table has room for.
pub(super) const DIGEST_BITS: u32 = 56;

/// What digests of header names begin with; those of paths begin with a number nobody outside knows.
const NAME_KEY: u64 = 0x243f_6a88_85a3_08d3;

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX_LAST: u64 = 0xd6e8_feb8_6659_fd93;

/// The key for names.
#[inline(always)]
pub(super) const fn name_key() -> u64 {
    NAME_KEY
}

/// Takes in eight bytes (or, at the end, fewer, with zeros behind).
///
/// One multiplication would not do: it turns a difference in the highest bit into the same difference whatever the key,
/// and the next eight bytes could undo it. The shift before it carries that bit to where the key decides, the second
/// multiplication spreads what came of it.
#[inline(always)]
pub(super) const fn mix(digest: u64, word: u64) -> u64 {
    let mixed = digest ^ word;
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(MIX);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(MIX_LAST);
    mixed ^ (mixed >> 32)
}

/// Ends the digest of a string of `length` encoded bytes. Never zero, which stands for "not known".
#[inline(always)]
pub(super) const fn finish(digest: u64, length: u32, is_huffman: bool) -> u64 {
    let mixed = (digest ^ (((length as u64) << 1) | is_huffman as u64)).wrapping_mul(MIX_LAST);
    let digest = (mixed ^ (mixed >> 32)) & ((1 << DIGEST_BITS) - 1);
    if digest == 0 { 1 } else { digest }
}

/// The digest of a whole string.
pub(super) const fn of(key: u64, bytes: &[u8], is_huffman: bool) -> u64 {
    let mut digest = key;
    let mut at = 0;
    while at < bytes.len() {
        let mut word = 0;
        let mut byte = 0;
        while byte < 8 && at + byte < bytes.len() {
            word |= (bytes[at + byte] as u64) << (8 * byte);
            byte += 1;
        }
        digest = mix(digest, word);
        at += 8;
    }
    #[expect(clippy::cast_possible_truncation, reason = "names are short")]
    finish(digest, bytes.len() as u32, is_huffman)
}
