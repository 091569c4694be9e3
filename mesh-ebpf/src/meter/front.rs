//! What the first bytes of a payload look like.

use crate::ctx::Packet;
use mesh_common::meter::{HEAD_BYTES, PREFACE, is_plausible_head};

const PREFACE_WORDS: [u64; 3] = {
    let mut words = [0_u64; 3];
    let mut at = 0;
    while at < PREFACE.len() {
        words[at / 8] |= (PREFACE[at] as u64) << (8 * (at % 8));
        at += 1;
    }
    words
};

/// Whether the first bytes of a payload are the client's preface, or as much of it as came.
#[inline(always)]
pub(super) fn is_preface(front: [u64; 3], length: u32) -> bool {
    let mask = |first: u32| -> u64 {
        if length >= first + 8 {
            u64::MAX
        } else if length > first {
            u64::MAX >> (64 - 8 * (length - first))
        } else {
            0
        }
    };
    front[0] == PREFACE_WORDS[0] & mask(0)
        && front[1] == PREFACE_WORDS[1] & mask(8)
        && front[2] == PREFACE_WORDS[2] & mask(16)
}

/// Whether a plausible head is that of a SETTINGS frame without ACK, with which a server begins.
#[inline(always)]
pub(super) fn is_settings(front: u64) -> bool {
    (front >> 24) & 0xffff == 0x0004
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "takes the lowest byte")]
pub(super) fn low_byte(word: u64) -> u8 {
    word as u8
}

/// Whether a payload begins with a frame that ends inside it, with another one's head behind.
#[inline(always)]
pub(super) fn is_frame_then_frame(packet: Packet, at: u32, length: u32, front: [u64; 3]) -> bool {
    if length < 2 * HEAD_BYTES || !is_plausible_head(front[0], low_byte(front[1])) {
        return false;
    }
    let next = HEAD_BYTES + (front[0].swap_bytes() >> 40) as u32;
    if next > length - HEAD_BYTES {
        return false;
    }
    let behind = packet.front(at + next, HEAD_BYTES);
    is_plausible_head(behind[0], low_byte(behind[1]))
}
