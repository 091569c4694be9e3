//! Frames around what was chosen.

use crate::choices::Choices;

/// A header block in frames, cut somewhere.
pub(crate) fn block(choices: &mut Choices<'_>, stream: u32, shape: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let cuts = choices.next() % 4;
    let mut rest = block;
    for number in 0..=cuts {
        let at = if number == cuts {
            rest.len()
        } else {
            usize::from(choices.next()).min(rest.len())
        };
        let (piece, behind) = rest.split_at(at);
        rest = behind;
        let mut flags = if number == cuts { 4 } else { 0 };
        if number != 0 {
            bytes.extend(frame(9, flags, stream, piece));
            continue;
        }
        flags |= shape & (1 | 8 | 0x20);
        // It depends on no stream: on itself it must not (RFC 7540 section 5.3.1).
        let priority: &[u8] = if shape & 0x20 != 0 {
            &[0, 0, 0, 0, 9]
        } else {
            &[]
        };
        let payload = padded(flags, choices, &[priority, piece].concat());
        bytes.extend(frame(1, flags, stream, &payload));
    }
    bytes
}

/// The payload with padding around it if the flag is set.
pub(crate) fn padded(flags: u8, choices: &mut Choices<'_>, payload: &[u8]) -> Vec<u8> {
    if flags & 8 == 0 {
        return payload.to_vec();
    }
    let padding = choices.next();
    [&[padding][..], payload, &vec![0; usize::from(padding)]].concat()
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("some thousand bytes");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
