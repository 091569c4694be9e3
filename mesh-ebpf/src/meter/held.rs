//! Pages of a direction that came too early: held until the hole in front of them is filled.

use super::run::{Run, decode, loop_over};
use crate::ctx::Packet;
use crate::maps::metering as maps;
use core::mem::offset_of;
use core::ptr::NonNull;
use mesh_common::meter::count::Skip;
use mesh_common::meter::held::{
    HELD_AHEAD_MAX, HELD_COPY_BYTES, HELD_PAGE_BYTES, HELD_PARTS_MAX, HeldKey, HeldPage, HeldPart,
};
use mesh_common::meter::record::Meter;
use mesh_common::meter::{Mode, bound};

/// Pages that what is held at most may touch.
const PAGES_MAX: u32 = HELD_AHEAD_MAX / HELD_PAGE_BYTES + 1;
/// The highest number of a page, a power of two less one: behind it the numbers begin again.
const PAGE_LAST: u32 = u32::MAX / HELD_PAGE_BYTES;
/// Copies that the longest packet may take: each page begins a new one.
const COPIES_MAX: u32 = HELD_AHEAD_MAX / HELD_COPY_BYTES + PAGES_MAX;

#[inline(always)]
fn key(state: &Meter, sequence: u32) -> HeldKey {
    HeldKey {
        connection: state.link.connection,
        page: sequence / HELD_PAGE_BYTES,
        holding: state.holding,
    }
}

struct Hold {
    packet: Packet,
    meter: NonNull<Meter>,
    at: u32,
    left: u32,
    sequence: u32,
}

/// Whether the bytes from `next` on will not come again: TCP has them. So it is with pages that others have pushed out.
#[inline(always)]
pub(super) fn is_too_late(packet: Packet, next: u32) -> bool {
    packet.awaited().is_some_and(|awaited| {
        let behind = awaited.wrapping_sub(next);
        behind != 0 && behind <= i32::MAX as u32
    })
}

/// Keeps a segment that came too early; says whether there was room for all of it.
#[inline(always)]
pub(super) fn keep(run: &Run, state: &mut Meter, payload: u32, length: u32, sequence: u32) -> bool {
    let ahead = sequence
        .wrapping_add(length)
        .wrapping_sub(state.next_sequence);
    let mut hold = Hold {
        packet: run.packet,
        meter: run.meter,
        at: payload,
        left: length,
        sequence,
    };
    if ahead <= HELD_AHEAD_MAX {
        begin_holding(state, sequence.wrapping_add(length));
        loop_over(COPIES_MAX, copy_some as *const (), (&raw mut hold).cast());
    }
    if hold.left != 0 {
        maps::skipped(Skip::HeldFull);
        return false;
    }
    maps::skipped(Skip::Held);
    true
}

/// Something is held up to this sequence number. Pages of a holding that has ended are not found again, should there be any
/// left.
#[inline(always)]
fn begin_holding(state: &mut Meter, until: u32) {
    if state.is_holding == 0 {
        state.is_holding = 1;
        state.holding = state.holding.wrapping_add(1);
        state.held_until = until;
    } else if until.wrapping_sub(state.held_until) <= HELD_AHEAD_MAX {
        state.held_until = until;
    }
}

/// Copies what is left of the packet into the page where it belongs, as much as goes there at once.
#[inline(never)]
unsafe extern "C" fn copy_some(_index: u32, hold: *mut Hold) -> i64 {
    // SAFETY: what `keep` gave.
    let hold = unsafe { &mut *hold };
    if hold.left == 0 {
        return 1;
    }
    // SAFETY: see `meter_take`.
    let state = unsafe { hold.meter.as_ref() };
    let Some(mut page) = maps::held_or_new(&key(state, hold.sequence)) else {
        return 1;
    };
    let at = hold.sequence % HELD_PAGE_BYTES;
    let room = HELD_PAGE_BYTES - at;
    let wanted = if hold.left < room { hold.left } else { room };
    let wanted = if wanted < HELD_COPY_BYTES {
        wanted
    } else {
        HELD_COPY_BYTES
    };
    let count = bound::<{ HELD_COPY_BYTES - 1 }>(wanted.wrapping_sub(1)) + 1;
    // SAFETY: a value of the map.
    let bytes = unsafe { &raw mut (*page.as_ptr()).bytes }.cast::<u8>();
    let to = bytes.wrapping_add(bound::<{ HELD_PAGE_BYTES - 1 }>(at) as usize);
    // SAFETY: behind the page's last byte is room for one more copy.
    if !unsafe { hold.packet.load(hold.at, to, count) } || !has_come(&mut page, at, count) {
        return 1;
    }
    hold.at += count;
    hold.left -= count;
    hold.sequence = hold.sequence.wrapping_add(count);
    0
}

struct Join {
    page: NonNull<HeldPage>,
    part: HeldPart,
}

/// Writes down which bytes of the page have come; says whether there was room for that.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "within a page")]
fn has_come(page: &mut NonNull<HeldPage>, at: u32, count: u32) -> bool {
    let mut join = Join {
        page: *page,
        part: HeldPart {
            start: at as u16,
            end: (at + count) as u16,
        },
    };
    // SAFETY: a value of the map.
    let page = unsafe { page.as_mut() };
    loop_over(page.slots(), join_slot as *const (), (&raw mut join).cast());
    page.put(join.part)
}

#[inline(never)]
unsafe extern "C" fn join_slot(slot: u32, join: *mut Join) -> i64 {
    // SAFETY: what `has_come` gave.
    let join = unsafe { &mut *join };
    // SAFETY: a value of the map.
    unsafe { join.page.as_mut() }.join(slot, &mut join.part);
    0
}

struct Leave {
    key: HeldKey,
}

/// The direction has come to `sequence`: lets go of the pages before the one where that stands. Not each of them has been
/// decoded: there may have been a hole in DATA behind which it went on.
#[inline(always)]
pub(super) fn leave_pages(state: &Meter, sequence: u32) {
    let mut leave = Leave {
        key: key(state, state.next_sequence),
    };
    let pages = (sequence / HELD_PAGE_BYTES).wrapping_sub(leave.key.page) & PAGE_LAST;
    // More: it has not come forward.
    if pages <= PAGES_MAX {
        loop_over(pages, leave_page as *const (), (&raw mut leave).cast());
    }
}

#[inline(never)]
unsafe extern "C" fn leave_page(_index: u32, leave: *mut Leave) -> i64 {
    // SAFETY: what `leave_pages` gave.
    let leave = unsafe { &mut *leave };
    maps::drop_held(&leave.key);
    leave.key.page = leave.key.page.wrapping_add(1) & PAGE_LAST;
    0
}

/// Nothing is held any more: the direction has come to the end of it, or has lost its place.
#[inline(always)]
pub(super) fn end_holding(state: &mut Meter) {
    leave_pages(state, state.held_until.wrapping_add(HELD_PAGE_BYTES));
    state.is_holding = 0;
}

/// Decodes what has become the next of what is held.
#[inline(always)]
pub(super) fn drain(run: &Run, state: &mut Meter) {
    let mut drain = Run {
        packet: run.packet,
        meter: run.meter,
    };
    // Each page ends at a hole, or is the next one's neighbour.
    loop_over(PAGES_MAX, drain_part as *const (), (&raw mut drain).cast());
    if state.held_until.wrapping_sub(state.next_sequence) > HELD_AHEAD_MAX
        || state.held_until == state.next_sequence
    {
        end_holding(state);
    }
}

struct Find {
    page: NonNull<HeldPage>,
    at: u32,
    end: u32,
}

#[inline(never)]
unsafe extern "C" fn drain_part(_index: u32, run: *mut Run) -> i64 {
    // SAFETY: what `drain` gave.
    let run = unsafe { &mut *run };
    // SAFETY: see `meter_take`.
    let state = unsafe { &mut *run.meter.as_ptr() };
    if state.decoder.mode >= Mode::Desync as u32 {
        return 1;
    }
    let from = state.next_sequence;
    let Some(page) = maps::held(&key(state, from)) else {
        return 1;
    };
    let mut find = Find {
        page,
        at: from % HELD_PAGE_BYTES,
        end: 0,
    };
    loop_over(
        HELD_PARTS_MAX,
        find_in_slot as *const (),
        (&raw mut find).cast(),
    );
    if find.end == 0 {
        return 1;
    }
    let address = page.addr().get() + offset_of!(HeldPage, bytes);
    let length = find.end.wrapping_sub(find.at);
    state.run.piece = address as u64;
    state.run.at = find.at;
    state.run.left = length;
    state.run.buffered = 0;
    decode(run);
    let behind = from.wrapping_add(length);
    leave_pages(state, behind);
    state.next_sequence = behind;
    0
}

#[inline(never)]
unsafe extern "C" fn find_in_slot(slot: u32, find: *mut Find) -> i64 {
    // SAFETY: what `drain_part` gave.
    let find = unsafe { &mut *find };
    // SAFETY: a value of the map.
    find.end = unsafe { find.page.as_ref() }.end_of(slot, find.at);
    i64::from(find.end != 0)
}
