//! One CPU at a time: a counter in a value of a map.

use super::atomic;

/// Takes the direction for this CPU; says whether no other has it.
#[inline(always)]
pub(crate) fn take_turn(busy: *mut u64) -> bool {
    // SAFETY: an aligned word of a meter.
    if unsafe { atomic::fetch_add(busy, 1) } == 0 {
        return true;
    }
    end_turn(busy);
    false
}

/// Gives the direction back.
#[inline(always)]
pub(crate) fn end_turn(busy: *mut u64) {
    // SAFETY: an aligned word of a meter.
    unsafe { atomic::add(busy, u64::MAX) };
}
