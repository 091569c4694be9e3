//! How the fields of a block were written (RFC 7541 section 6), for what a full decoder does not tell.

use crate::values::Coded;

/// One representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// A reference.
    Indexed(usize),
    /// A literal value.
    Literal {
        /// Whether it goes into the dynamic table.
        inserted: bool,
        /// The value.
        value: Coded,
    },
    /// A new size of the table.
    Resized,
}

/// The representations of a block; nothing if it is cut or holds an integer that no decoder takes.
pub(crate) fn walk(mut block: &[u8]) -> Option<Vec<Representation>> {
    let mut found = Vec::new();
    while let Some(&first) = block.first() {
        found.push(match first {
            0x80.. => Representation::Indexed(integer(&mut block, 7)?),
            0x40.. => literal(&mut block, 6)?,
            0x20.. => {
                integer(&mut block, 5)?;
                Representation::Resized
            }
            _ => literal(&mut block, 4)?,
        });
    }
    Some(found)
}

fn literal(block: &mut &[u8], prefix_bits: u32) -> Option<Representation> {
    if integer(block, prefix_bits)? == 0 {
        string(block)?;
    }
    Some(Representation::Literal {
        inserted: prefix_bits == 6,
        value: string(block)?,
    })
}

fn string(block: &mut &[u8]) -> Option<Coded> {
    let is_huffman = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some(Coded {
        is_huffman,
        bytes: bytes.to_vec(),
    })
}

fn integer(block: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let mask = (1 << prefix_bits) - 1;
    let (&first, mut rest) = block.split_first()?;
    let mut value = usize::from(first & mask);
    if value == usize::from(mask) {
        for shift in [0, 7, 14, 21, 28] {
            // Five octets in all, as in h2 and fluke-hpack.
            if shift == 28 {
                return None;
            }
            let (&octet, behind) = rest.split_first()?;
            rest = behind;
            value += usize::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Some(value)
}
