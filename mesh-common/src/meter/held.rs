//! Bytes of a direction that came too early, held until the hole in front of them is filled.
//!
//! ```text
//! sequence numbers   ─ decoded ─┬─ hole ─┬── held ──┬─ hole ─┬─ held ─┬─►
//!                               next                                  held_until
//! HELD               |    page    |    page    |    page    |    page    |       each knows its parts that have come
//! ```

use super::bound;
use crate::wire::record;

/// Bytes of one held page. Divides the sequence numbers, so that pages go on where the numbers begin again.
pub const HELD_PAGE_BYTES: u32 = 8_192;
/// Bytes that are copied into a page at once.
pub const HELD_COPY_BYTES: u32 = 512;
/// Parts of one page, with holes between them. A page is some six packets, or a hundred small ones of which three are lost.
pub const HELD_PARTS_MAX: u32 = 16;
/// How far behind a hole bytes are held: as much as HTTP/2 implementations let a peer send without asking back.
pub const HELD_AHEAD_MAX: u32 = 1 << 20;

record! {
    /// Key of `HELD`.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct HeldKey, size 16 {
        /// The connection.
        pub connection: u64,
        /// Sequence number of the page's first byte in [`HELD_PAGE_BYTES`].
        pub page: u32,
        /// Which holding of the connection ([`super::record::Meter::holding`]).
        pub holding: u32,
    }
}

record! {
    /// Some bytes of a page, from `start` up to but not including `end`.
    pub struct HeldPart, size 4 {
        /// First byte.
        pub start: u16,
        /// Behind the last byte.
        pub end: u16,
    }
}

record! {
    /// A page of what came too early. All zeros: nothing.
    pub struct HeldPage, size 8776 {
        /// Which of `parts` are in use, a bit each.
        used: u32,
        /// Zero.
        reserved: u32,
        /// What has come; no two overlap or touch.
        parts: [HeldPart; HELD_PARTS_MAX as usize],
        /// The bytes, and room for as many more as the kernel's verifier takes the last copy to be.
        pub bytes: [u64; (HELD_PAGE_BYTES + HELD_COPY_BYTES) as usize / 8],
    }
}

impl HeldPage {
    /// Slots up to the last one in use.
    #[inline(always)]
    #[must_use]
    pub const fn slots(&self) -> u32 {
        u32::BITS - self.used.leading_zeros()
    }

    /// Widens `part` by what is in `slot`, if they overlap or touch; that is then free.
    #[inline(always)]
    pub fn join(&mut self, slot: u32, part: &mut HeldPart) {
        let bit = bit(slot);
        let held = self.parts[index(slot)];
        if self.used & bit == 0 || held.start > part.end || part.start > held.end {
            return;
        }
        self.used &= !bit;
        if held.start < part.start {
            part.start = held.start;
        }
        if held.end > part.end {
            part.end = held.end;
        }
    }

    /// Writes down a part that has been joined with all that it touches; says whether there was room.
    #[inline(always)]
    pub fn put(&mut self, part: HeldPart) -> bool {
        let slot = self.used.trailing_ones();
        if slot >= HELD_PARTS_MAX {
            return false;
        }
        self.parts[index(slot)] = part;
        self.used |= bit(slot);
        true
    }

    /// Where the part in `slot` ends, if byte `at` belongs to it; else zero.
    #[inline(always)]
    #[must_use]
    pub fn end_of(&self, slot: u32, at: u32) -> u32 {
        let held = self.parts[index(slot)];
        let (start, end) = (u32::from(held.start), u32::from(held.end));
        if self.used & bit(slot) != 0 && start <= at && at < end {
            end
        } else {
            0
        }
    }
}

#[inline(always)]
fn bit(slot: u32) -> u32 {
    1 << bound::<{ HELD_PARTS_MAX - 1 }>(slot)
}

#[inline(always)]
const fn index(slot: u32) -> usize {
    slot as usize & (HELD_PARTS_MAX as usize - 1)
}

#[cfg(test)]
mod tests {
    use super::{HELD_PAGE_BYTES, HELD_PARTS_MAX, HeldPage, HeldPart};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use zerocopy::FromZeros as _;

    fn hold(page: &mut HeldPage, start: u16, end: u16) -> bool {
        let mut part = HeldPart { start, end };
        for slot in 0..page.slots() {
            page.join(slot, &mut part);
        }
        page.put(part)
    }

    fn end_at(page: &HeldPage, at: u32) -> u32 {
        (0..page.slots())
            .map(|slot| page.end_of(slot, at))
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn a_page_has_room_for_so_many_parts_with_holes_between_them() {
        let mut page = HeldPage::new_zeroed();
        let parts = 0..u16::try_from(HELD_PARTS_MAX).unwrap();
        assert!(
            parts
                .map(|part| 20 * part)
                .all(|at| hold(&mut page, at, at + 10))
        );
        assert!(!hold(&mut page.clone(), 4_000, 4_010), "one more");
        assert!(hold(&mut page, 10, 20), "fills a hole");
        assert_eq!(end_at(&page, 0), 30);
        assert!(hold(&mut page, 4_000, 4_010), "there is room again");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_came_is_known_byte_by_byte(
            parts in vec((0_u16..8_192, 1_u16..600), 0..60),
        ) {
            let mut page = HeldPage::new_zeroed();
            let mut has_come = [false; HELD_PAGE_BYTES as usize];
            for (start, length) in parts {
                let end = (start + length).min(8_192);
                if hold(&mut page, start, end) {
                    has_come[usize::from(start)..usize::from(end)].fill(true);
                } else {
                    // The direction is given up.
                    break;
                }
            }
            let mut end = 0;
            for at in (0..HELD_PAGE_BYTES).rev() {
                end = match (has_come[at as usize], end) {
                    (false, _) => 0,
                    (true, 0) => at + 1,
                    (true, end) => end,
                };
                prop_assert_eq!(end_at(&page, at), end, "from byte {}", at);
            }
        }
    }
}
