//! Texts: their length, then their bytes or the Huffman code of them (RFC 7541, 5.2).

use std::borrow::Cow;

use bytes::BytesMut;

use super::{Invalid, huffman, number};

/// Set in the first byte of a text that is coded.
const CODED: u8 = 0x80;

const PREFIX_BITS: u32 = 7;

/// Takes a text off the front of `block`.
pub(super) fn read<'a>(block: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, Invalid> {
    let (bytes, is_coded) = split(block)?;
    if is_coded {
        return huffman::decode(bytes).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(bytes))
}

/// Takes the bytes of a text off the front of `block` as they are, and says whether they are a code.
pub(super) fn split<'a>(block: &mut &'a [u8]) -> Result<(&'a [u8], bool), Invalid> {
    let is_coded = block.first().is_some_and(|first| first & CODED != 0);
    let length = number::read(block, PREFIX_BITS)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(Invalid::Truncated)?;
    *block = rest;
    Ok((bytes, is_coded))
}

/// Writes a text the shorter way.
pub(super) fn write(out: &mut BytesMut, text: &[u8]) {
    let coded_bytes = huffman::coded_bytes(text);
    if coded_bytes < text.len() {
        number::write(out, CODED, PREFIX_BITS, coded_bytes);
        huffman::encode(out, text);
    } else {
        number::write(out, 0, PREFIX_BITS, text.len());
        out.extend_from_slice(text);
    }
}
