//! Puts the bytes of a direction in order and drives the decoder over them.
//!
//! What is called from more than one place, or in a loop, is a function that the verifier looks at by itself, once: `extern
//! "C"` under its own name, with the memory it may touch as an argument whose type tells the size (kernel 5.12, commit
//! e5069b9c23b3). Inlined, the decoder's branches would multiply with those of the accounting.

use super::account;
use super::front::is_frame_then_frame;
use super::held;
use crate::ctx::{Packet, Payload};
use crate::maps::{metering as maps, turn};
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel};
use core::ffi::c_void;
use core::ptr::NonNull;
use mesh_common::meter::count::Skip;
use mesh_common::meter::record::Meter;
use mesh_common::meter::{BUFFER_BYTES, Event, Mode, bound};

/// Steps that one packet may take: 64 KiB of header fields of two bytes each.
const STEPS_MAX: u32 = 32_768;

/// Times that a CPU waits for another to be done with the same direction.
const WAITS_MAX: u32 = 2_048;

/// Bytes that most steps want to see at once.
const LOOK_AHEAD: u32 = 24;

/// One run of the decoder over bytes that follow each other. Where it stands is in [`Meter::run`].
pub(super) struct Run {
    pub(super) packet: Packet,
    pub(super) meter: NonNull<Meter>,
}

/// Events as [`mesh_common::meter::record::RunState`] holds them.
mod event {
    pub(super) const NONE: u32 = 0;
    pub(super) const HEADERS: u32 = 1;
    pub(super) const DATA: u32 = 2;
    pub(super) const RESET: u32 = 3;
    pub(super) const HEADERS_LOST: u32 = 4;
    pub(super) const LOST: u32 = 5;
}

/// Takes in one segment.
#[inline(always)]
pub(super) fn take(packet: Packet, meter: NonNull<Meter>, payload: &Payload) {
    let _zero: u32 = meter_take(
        packet.as_ptr(),
        meter.as_ptr(),
        payload.at,
        payload.length,
        payload.sequence,
    );
}

/// Takes in the `length` bytes that stand at `payload` of the packet and begin with number `sequence`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn meter_take(
    packet: *mut __sk_buff,
    meter: *mut Meter,
    payload: u32,
    length: u32,
    sequence: u32,
) -> u32 {
    let Some(mut meter) = NonNull::new(meter) else {
        return 0;
    };
    // SAFETY: a meter of this socket: under the socket's lock when sending, and by turns when receiving.
    let state = unsafe { meter.as_mut() };
    if state.decoder.mode == Mode::Opaque as u32 {
        return 0;
    }
    let is_received = state.is_received != 0;
    if is_received && !wait_for_turn(&raw mut state.busy) {
        maps::skipped(Skip::Contention);
        return 0;
    }
    let run = Run {
        packet: Packet::from_ptr(packet),
        meter,
    };
    take_in_turn(run, state, payload, length, sequence);
    if is_received {
        turn::end_turn(&raw mut state.busy);
    }
    0
}

struct Turn {
    busy: *mut u64,
    is_taken: u32,
}

#[inline(always)]
fn wait_for_turn(busy: *mut u64) -> bool {
    if turn::take_turn(busy) {
        return true;
    }
    let mut waiting = Turn { busy, is_taken: 0 };
    loop_over(WAITS_MAX, try_turn as *const (), (&raw mut waiting).cast());
    waiting.is_taken != 0
}

#[inline(never)]
unsafe extern "C" fn try_turn(_index: u32, waiting: *mut Turn) -> i64 {
    // SAFETY: what `wait_for_turn` gave.
    let waiting = unsafe { &mut *waiting };
    if turn::take_turn(waiting.busy) {
        waiting.is_taken = 1;
        return 1;
    }
    0
}

/// Calls `callback` at most so many times, until it returns 1.
#[inline(always)]
pub(super) fn loop_over(times: u32, callback: *const (), context: *mut c_void) {
    // SAFETY: the callbacks of the meter take an index and the context they are given with.
    let _steps: i64 = unsafe { bpf_loop(times, callback.cast_mut().cast(), context, 0) };
}

#[inline(always)]
fn take_in_turn(mut run: Run, state: &mut Meter, payload: u32, length: u32, sequence: u32) {
    let mode = state.decoder.mode;
    if state.is_sequenced == 0 {
        state.next_sequence = sequence;
        state.is_sequenced = 1;
    }
    let ahead = sequence.wrapping_sub(state.next_sequence);
    let mut passed = 0;
    if ahead > i32::MAX as u32 {
        // Begins before what was seen.
        passed = 0_u32.wrapping_sub(ahead);
        if passed >= length {
            maps::skipped(Skip::Retransmitted);
            return;
        }
    } else if ahead != 0 && mode != Mode::Desync as u32 {
        if ahead <= state.decoder.skippable() {
            state.decoder.skip(ahead);
            maps::skipped(Skip::GapInData);
        } else if state.is_received != 0
            && !held::is_too_late(run.packet, state.next_sequence)
            && held::keep(&run, state, payload, length, sequence)
        {
            return;
        } else {
            maps::skipped(Skip::Gap);
            state.decoder.lose();
        }
    }
    // SAFETY: has no preconditions.
    state.run.now_ns = unsafe { bpf_ktime_get_ns() };
    state.run.piece = 0;
    state.run.at = payload.wrapping_add(passed);
    state.run.left = length.wrapping_sub(passed);
    state.run.buffered = 0;
    state.run.event = event::NONE;
    let behind = sequence.wrapping_add(length);
    if state.is_holding != 0 {
        held::leave_pages(state, behind);
    }
    state.next_sequence = behind;
    if state.decoder.mode == Mode::Desync as u32 {
        let front = run.packet.front(payload, length);
        if is_frame_then_frame(run.packet, payload, length, front) {
            state.run.at = payload;
            state.run.left = length;
            state.decoder.begin_anywhere();
        }
    }
    decode(&mut run);
    if state.is_holding != 0 {
        held::drain(&run, state);
    }
    let _flushed: u32 = account::meter_flush(run.meter.as_ptr());
    if state.decoder.mode != mode {
        changed_mode(state, mode);
    }
}

#[inline(always)]
fn changed_mode(state: &mut Meter, before: u32) {
    let mode = state.decoder.mode;
    let is_response = state.is_response != 0;
    if state.is_closed == 0 {
        maps::leave_mode(before, is_response);
        maps::enter_mode(mode, is_response);
    }
    if mode >= Mode::Desync as u32 {
        maps::lose_streams(state.link.connection, state.run.now_ns);
        if state.is_holding != 0 {
            held::end_holding(state);
        }
    }
}

/// Decodes what the run has.
#[inline(always)]
pub(super) fn decode(run: &mut Run) {
    // SAFETY: see `meter_take`.
    let state = unsafe { &mut *run.meter.as_ptr() };
    if state.decoder.mode >= Mode::Desync as u32 {
        return;
    }
    loop_over(
        STEPS_MAX,
        step as *const (),
        core::ptr::from_mut(run).cast(),
    );
    if state.run.left != 0 && state.decoder.mode < Mode::Desync as u32 {
        maps::skipped(Skip::Steps);
        state.decoder.lose();
    }
}

/// One step of the decoder, and taking account of what it found; ends the loop when there is nothing left.
#[inline(never)]
unsafe extern "C" fn step(_index: u32, run: *mut Run) -> i64 {
    // SAFETY: what `decode` gave.
    let run = unsafe { &mut *run };
    // SAFETY: see `meter_take`.
    let state = unsafe { &mut *run.meter.as_ptr() };
    let left = state.run.left;
    if left == 0 {
        return 1;
    }
    let buffered = state.run.buffered;
    if buffered < LOOK_AHEAD && buffered < left && !refill(run.packet, state) {
        state.decoder.lose();
        return 1;
    }
    let _zero: u32 = meter_decode(run.meter.as_ptr());
    if state.run.event == event::NONE {
        return 0;
    }
    i64::from(bound::<1>(meter_account(run.meter.as_ptr())))
}

/// One step of the decoder; what it finds is left in [`Meter::run`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn meter_decode(meter: *mut Meter) -> u32 {
    // SAFETY: the verifier knows its size.
    let Some(state) = (unsafe { meter.as_mut() }) else {
        return 1;
    };
    let step = state.decoder.step(
        &state.buffer,
        state.run.cursor,
        state.run.buffered,
        state.run.left,
        maps::path_key(),
    );
    note(state, step.event);
    let (consumed, run) = (step.consumed, &mut state.run);
    run.at = run.at.wrapping_add(consumed);
    run.left = run.left.saturating_sub(consumed);
    run.cursor = run.cursor.wrapping_add(consumed);
    run.buffered = run.buffered.saturating_sub(consumed);
    0
}

#[inline(always)]
fn note(state: &mut Meter, found: Event) {
    let run = &mut state.run;
    match found {
        Event::None | Event::GoAway { .. } => {}
        Event::Headers {
            stream,
            ends_stream,
        } => {
            run.event = event::HEADERS;
            run.stream = stream;
            run.ends_stream = u32::from(ends_stream);
        }
        Event::Data {
            stream,
            bytes,
            ends_stream,
        } => {
            run.event = event::DATA;
            run.stream = stream;
            run.value = bytes;
            run.ends_stream = u32::from(ends_stream);
        }
        Event::Reset { stream, code } => {
            run.event = event::RESET;
            run.stream = stream;
            run.value = code;
        }
        Event::HeadersLost {
            stream,
            ends_stream,
        } => {
            run.event = event::HEADERS_LOST;
            run.stream = stream;
            run.ends_stream = u32::from(ends_stream);
        }
        Event::Lost => run.event = event::LOST,
    }
}

/// Takes account of the event that was found; returns 1 if the direction is lost by it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn meter_account(meter: *mut Meter) -> u32 {
    // SAFETY: the verifier knows its size.
    let Some(state) = (unsafe { meter.as_mut() }) else {
        return 1;
    };
    let found = state.run.event;
    if account::must_flush(state, found == event::RESET) {
        let _flushed: u32 = account::meter_flush(meter);
    }
    state.run.event = event::NONE;
    match found {
        event::HEADERS => account::headers(state),
        event::DATA => account::data(state),
        event::RESET => account::reset(state),
        event::HEADERS_LOST => {
            maps::skipped(Skip::BadHeaders);
            if state.run.stream != 0 {
                account::headers(state);
            }
        }
        _ => {
            maps::skipped(if state.decoder.mode == Mode::Opaque as u32 {
                Skip::Opaque
            } else {
                Skip::BadFrame
            });
            return 1;
        }
    }
    0
}

/// Fills the buffer from where the run stands; says whether that could be done.
#[inline(always)]
fn refill(packet: Packet, state: &mut Meter) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "a short buffer")]
    const SIZE: u32 = BUFFER_BYTES as u32;
    let left = state.run.left;
    let wanted = if left < SIZE { left } else { SIZE };
    // At least one: `left` is not zero.
    let count = bound::<{ SIZE - 1 }>(wanted.wrapping_sub(1)) + 1;
    state.run.cursor = 0;
    state.run.buffered = count;
    let buffer = (&raw mut state.buffer).cast::<u8>();
    let (at, piece) = (state.run.at, state.run.piece);
    if piece == 0 {
        // SAFETY: at most the buffer's size.
        return unsafe { packet.load(at, buffer, count) };
    }
    let from = piece.wrapping_add(u64::from(at)) as *const c_void;
    // SAFETY: at most the buffer's size; the helper checks the source address.
    unsafe { bpf_probe_read_kernel(buffer.cast(), count, from) == 0 }
}
