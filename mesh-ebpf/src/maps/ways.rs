//! The entries of one set of `AFFINITY`.

use core::mem::offset_of;
use core::ptr::NonNull;
use mesh_common::affinity::{AffinityEntry, AffinitySet};

/// One set of the affinity table.
pub(crate) struct AffinityWays(pub(super) NonNull<AffinitySet>);

impl AffinityWays {
    #[inline(always)]
    fn way(&self, way: usize) -> *mut u64 {
        let offset = offset_of!(AffinitySet, entries) + way * size_of::<AffinityEntry>();
        self.0.as_ptr().cast::<u8>().wrapping_add(offset).cast()
    }

    #[inline(always)]
    pub(crate) fn entry(&self, way: usize) -> AffinityEntry {
        let words = self.way(way);
        let word = |index| {
            let word = words.wrapping_add(index);
            // SAFETY: an aligned word of the set; ways are less than `WAYS`.
            unsafe { word.read_volatile() }
        };
        AffinityEntry {
            tag: word(0),
            endpoint: word(1),
            expires_ns: word(2),
        }
    }

    /// Replaces an entry: no reader finds the old tag with the new endpoint, or the other way round, unless another
    /// CPU replaces the same entry at the same time.
    #[inline(always)]
    pub(crate) fn store(&self, way: usize, entry: &AffinityEntry) {
        let words = self.way(way);
        let set_word = |index, value| {
            let word: *mut u64 = words.wrapping_add(index);
            // SAFETY: an aligned word of the set; ways are less than `WAYS`.
            unsafe { word.write_volatile(value) }
        };
        set_word(0, 0);
        set_word(1, entry.endpoint);
        set_word(2, entry.expires_ns);
        set_word(0, entry.tag);
    }

    /// Lets an entry live until then.
    #[inline(always)]
    pub(crate) fn refresh(&self, way: usize, expires_ns: u64) {
        let word = self.way(way).wrapping_add(2);
        // SAFETY: an aligned word of the set; ways are less than `WAYS`.
        unsafe { word.write_volatile(expires_ns) }
    }
}
