//! Where tables stand in `TABLE_ROWS`: best-fit ranges of rows, joined again when they are freed.

use super::quarantine::Quarantine;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// A range of rows that belongs to one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowRange {
    /// Its first row.
    pub(super) offset: u32,
    /// Its number of rows.
    pub(super) length: u32,
}

/// Gives out ranges of a fixed number of rows. Taking and freeing cost the logarithm of the number of gaps.
#[derive(Debug)]
pub(super) struct Ranges {
    /// Free rows by offset; no two ranges touch.
    gaps: BTreeMap<u32, u32>,
    /// The same by length, so that the smallest gap that fits is found at once.
    by_length: BTreeSet<(u32, u32)>,
    resting: Quarantine<RowRange>,
    used: u32,
}

impl Ranges {
    /// Starts with `capacity` free rows.
    pub(super) fn new(capacity: u32) -> Self {
        let mut ranges = Self {
            gaps: BTreeMap::new(),
            by_length: BTreeSet::new(),
            resting: Quarantine::default(),
            used: 0,
        };
        if capacity > 0 {
            ranges.insert_gap(0, capacity);
        }
        ranges
    }

    /// Takes `length` rows from the smallest gap that has them; `None` if there is none.
    pub(super) fn take(&mut self, length: u32) -> Option<RowRange> {
        let &(gap, offset) = self.by_length.range((length, 0)..).next()?;
        self.remove_gap(offset, gap);
        if gap > length {
            self.insert_gap(offset + length, gap - length);
        }
        self.used += length;
        Some(RowRange { offset, length })
    }

    /// Gives back a range no reader can have seen.
    pub(super) fn give_back(&mut self, range: RowRange) {
        self.used -= range.length;
        self.join(range);
    }

    /// Retires a range that readers may still look at.
    pub(super) fn retire(&mut self, range: RowRange, now: Instant) {
        self.resting.push(now, range);
    }

    /// Frees what has rested long enough; tells whether anything was.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        let mut freed = false;
        while let Some(range) = self.resting.pop_rested(now) {
            self.give_back(range);
            freed = true;
        }
        freed
    }

    /// Rows in use or at rest.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// The longest range that could be taken now.
    pub(super) fn room(&self) -> u32 {
        self.by_length.last().map_or(0, |(length, _)| *length)
    }

    fn join(&mut self, range: RowRange) {
        let RowRange {
            mut offset,
            mut length,
        } = range;
        if let Some((&before, &size)) = self.gaps.range(..offset).next_back()
            && before + size == offset
        {
            self.remove_gap(before, size);
            offset = before;
            length += size;
        }
        if let Some(&size) = self.gaps.get(&(offset + length)) {
            self.remove_gap(offset + length, size);
            length += size;
        }
        self.insert_gap(offset, length);
    }

    fn insert_gap(&mut self, offset: u32, length: u32) {
        self.gaps.insert(offset, length);
        self.by_length.insert((length, offset));
    }

    fn remove_gap(&mut self, offset: u32, length: u32) {
        self.gaps.remove(&offset);
        self.by_length.remove(&(length, offset));
    }
}

#[cfg(test)]
mod tests {
    use super::{Ranges, RowRange};
    use crate::kernel::quarantine::GRACE;
    use proptest::prelude::*;
    use std::time::Instant;

    #[test]
    fn a_retired_range_is_not_given_out_within_the_grace_period() {
        let start = Instant::now();
        let mut ranges = Ranges::new(8);
        let whole = ranges.take(8).unwrap();

        ranges.retire(whole, start);

        assert!(!ranges.settle(start + GRACE / 2));
        assert_eq!(ranges.take(1), None);
        assert!(ranges.settle(start + GRACE));
        assert_eq!(ranges.take(8), Some(whole));
    }

    #[derive(Clone, Debug)]
    enum Action {
        Take(u32),
        GiveBack(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            3 => (1_u32..40).prop_map(Action::Take),
            2 => any::<usize>().prop_map(Action::GiveBack),
        ]
    }

    fn overlap(a: RowRange, b: RowRange) -> bool {
        a.offset < b.offset + b.length && b.offset < a.offset + a.length
    }

    proptest! {
        #[test]
        fn ranges_never_overlap_and_all_rows_come_back(actions in prop::collection::vec(action(), 1..200)) {
            const CAPACITY: u32 = 256;
            let mut ranges = Ranges::new(CAPACITY);
            let mut held: Vec<RowRange> = Vec::new();

            for action in actions {
                match action {
                    Action::Take(length) => {
                        if let Some(range) = ranges.take(length) {
                            prop_assert_eq!(range.length, length);
                            prop_assert!(range.offset + length <= CAPACITY);
                            prop_assert!(!held.iter().any(|other| overlap(*other, range)));
                            held.push(range);
                        } else {
                            // A refusal is honest: no gap between neighbours is as long.
                            held.sort_by_key(|range| range.offset);
                            let mut start = 0;
                            for range in &held {
                                prop_assert!(range.offset - start < length);
                                start = range.offset + range.length;
                            }
                            prop_assert!(CAPACITY - start < length);
                        }
                    }
                    Action::GiveBack(index) if !held.is_empty() => {
                        let range = held.swap_remove(index % held.len());
                        ranges.give_back(range);
                    }
                    Action::GiveBack(_) => {}
                }
                prop_assert_eq!(ranges.used(), held.iter().map(|range| range.length).sum::<u32>());
            }

            for range in held {
                ranges.give_back(range);
            }
            prop_assert_eq!(ranges.take(CAPACITY), Some(RowRange { offset: 0, length: CAPACITY }));
        }
    }
}
