//! Pieces of a direction that came too early: held until the hole in front of them is filled.

use super::run::{Run, decode, loop_over};
use crate::ctx::Packet;
use crate::maps::metering as maps;
use core::mem::offset_of;
use core::ptr::NonNull;
use mesh_common::meter::count::Skip;
use mesh_common::meter::record::{HELD_BYTES, HELD_MAX, HeldKey, HeldPiece, Meter};
use mesh_common::meter::{Mode, bound};

#[inline(always)]
fn key(packet: Packet, sequence: u32) -> HeldKey {
    HeldKey {
        socket: packet.cookie(),
        sequence,
        reserved: 0,
    }
}

struct Hold {
    packet: Packet,
    meter: NonNull<Meter>,
    at: u32,
    left: u32,
    sequence: u32,
    is_full: u32,
}

/// Keeps a segment that came too early; says whether there was room for all of it.
#[inline(always)]
pub(super) fn keep(run: &Run, payload: u32, length: u32, sequence: u32) -> bool {
    let mut hold = Hold {
        packet: run.packet,
        meter: run.meter,
        at: payload,
        left: length,
        sequence,
        is_full: 0,
    };
    loop_over(HELD_MAX, keep_piece as *const (), (&raw mut hold).cast());
    if hold.is_full != 0 || hold.left != 0 {
        maps::skipped(Skip::HeldFull);
        return false;
    }
    maps::skipped(Skip::Held);
    true
}

#[inline(never)]
unsafe extern "C" fn keep_piece(_index: u32, hold: *mut Hold) -> i64 {
    const SIZE: u32 = HELD_BYTES;
    // SAFETY: what `keep` gave.
    let hold = unsafe { &mut *hold };
    // SAFETY: see `meter_take`.
    let state = unsafe { &mut *hold.meter.as_ptr() };
    if hold.left == 0 {
        return 1;
    }
    if append(hold, state) {
        return 0;
    }
    let slot = state.held.trailing_ones();
    let Some(mut piece) = (slot < HELD_MAX)
        .then(|| maps::new_held(&key(hold.packet, hold.sequence)))
        .flatten()
    else {
        hold.is_full = 1;
        return 1;
    };
    let wanted = if hold.left < SIZE { hold.left } else { SIZE };
    let count = bound::<{ SIZE - 1 }>(wanted.wrapping_sub(1)) + 1;
    // SAFETY: a value of the map.
    let piece = unsafe { piece.as_mut() };
    piece.length = count;
    let bytes = (&raw mut piece.bytes).cast();
    // SAFETY: the piece has room for so many bytes.
    if !unsafe { hold.packet.load(hold.at, bytes, count) } {
        hold.is_full = 1;
        return 1;
    }
    state.held_sequences[slot as usize & (HELD_MAX as usize - 1)] = hold.sequence;
    state.held |= 1 << (slot & (HELD_MAX - 1));
    state.last_held = hold.sequence;
    pass(hold, state, count);
    0
}

#[inline(always)]
fn pass(hold: &mut Hold, state: &mut Meter, bytes: u32) {
    hold.at += bytes;
    hold.left -= bytes;
    hold.sequence = hold.sequence.wrapping_add(bytes);
    state.behind_held = hold.sequence;
}

/// Puts a short segment behind the one before it, into the same piece; says whether that could be done. So there is room for
/// what a sender of short segments has under way until it notices that one was lost.
#[inline(always)]
fn append(hold: &mut Hold, state: &mut Meter) -> bool {
    const HALF: u32 = HELD_BYTES / 2;
    if state.held == 0 || hold.sequence != state.behind_held || hold.left > HALF {
        return false;
    }
    let Some(mut piece) = maps::held(&key(hold.packet, state.last_held)) else {
        return false;
    };
    // SAFETY: a value of the map.
    let piece = unsafe { piece.as_mut() };
    let used = piece.length;
    if used >= HALF {
        return false;
    }
    let count = bound::<{ HALF - 1 }>(hold.left.wrapping_sub(1)) + 1;
    let bytes = (&raw mut piece.bytes).cast::<u8>();
    let free = bytes.wrapping_add(bound::<{ HALF - 1 }>(used) as usize);
    // SAFETY: the second half at least is free.
    if !unsafe { hold.packet.load(hold.at, free, count) } {
        return false;
    }
    piece.length = used + count;
    pass(hold, state, count);
    true
}

struct Drain {
    run: Run,
    /// Pieces looked at since the last one that could be decoded.
    idle: u32,
}

/// Decodes held pieces that have become the next ones.
#[inline(always)]
pub(super) fn drain(run: &Run) {
    let mut drain = Drain {
        run: Run {
            packet: run.packet,
            meter: run.meter,
        },
        idle: 0,
    };
    loop_over(
        HELD_MAX * HELD_MAX,
        drain_piece as *const (),
        (&raw mut drain).cast(),
    );
}

#[inline(never)]
unsafe extern "C" fn drain_piece(index: u32, drain: *mut Drain) -> i64 {
    // SAFETY: what `drain` gave.
    let drain = unsafe { &mut *drain };
    let run = &mut drain.run;
    // SAFETY: see `meter_take`.
    let state = unsafe { &mut *run.meter.as_ptr() };
    if state.held == 0 || drain.idle >= HELD_MAX || state.decoder.mode >= Mode::Desync as u32 {
        return 1;
    }
    drain.idle += 1;
    let slot = index & (HELD_MAX - 1);
    if state.held & (1 << slot) == 0 {
        return 0;
    }
    let sequence = state.held_sequences[slot as usize & (HELD_MAX as usize - 1)];
    let behind = state.next_sequence.wrapping_sub(sequence);
    if behind > i32::MAX as u32 {
        return 0;
    }
    drain.idle = 0;
    state.held &= !(1 << slot);
    let key = key(run.packet, sequence);
    if let Some(piece) = maps::held(&key) {
        let address = piece.addr().get() + offset_of!(HeldPiece, bytes);
        // SAFETY: a value of the map.
        let length = unsafe { piece.as_ref() }.length;
        if behind < length {
            state.run.piece = address as u64;
            state.run.at = behind;
            state.run.left = length - behind;
            state.run.buffered = 0;
            state.next_sequence = sequence.wrapping_add(length);
            decode(run);
        }
    }
    maps::drop_held(&key);
    0
}
