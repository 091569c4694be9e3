//! Drives a decoder on the host, as `bpf_loop` does in the kernel.

use super::buffer::{BUFFER_BYTES, Buffer};
use super::decoder::Decoder;
use super::event::Event;
use super::mode::Mode;
use zerocopy::IntoBytes;

/// Takes in one piece of a direction's bytes, and gives `found` every event with the decoder as it is then.
///
/// Stops where the decoder loses its place ([`Event::Lost`]).
pub fn feed(
    decoder: &mut Decoder,
    bytes: &[u8],
    path_key: u64,
    mut found: impl FnMut(Event, &Decoder),
) {
    let mut buffer = Buffer::EMPTY;
    let mut rest = bytes;
    while !rest.is_empty() && decoder.mode < Mode::Desync as u32 {
        let held = rest.len().min(BUFFER_BYTES);
        buffer.words.as_mut_bytes()[..held].copy_from_slice(&rest[..held]);
        #[expect(clippy::cast_possible_truncation, reason = "a piece is no 4 GiB")]
        let step = decoder.step(&buffer, 0, held as u32, rest.len() as u32, path_key);
        if step.event != Event::None {
            found(step.event, decoder);
        }
        rest = &rest[step.consumed as usize..];
    }
}
