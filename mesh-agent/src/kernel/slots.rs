//! Which indices of a kernel array are in use: service ids and endpoint ids.

use super::quarantine::Quarantine;
use std::time::Instant;

/// An index that was given out, and how many times it has been by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The index.
    pub(super) id: u32,
    /// How often this index has been given out.
    pub(super) generation: u32,
}

/// Gives out the indices of an array of fixed size.
#[derive(Debug)]
pub(super) struct Slots {
    capacity: u32,
    /// How often each index was given out; as long as the highest one that ever was.
    generations: Vec<u32>,
    free: Vec<u32>,
    resting: Quarantine<u32>,
}

impl Slots {
    /// Starts with all indices below `capacity` free.
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            generations: Vec::new(),
            free: Vec::new(),
            resting: Quarantine::default(),
        }
    }

    /// Takes an index; `None` if all are in use or at rest.
    pub(super) fn take(&mut self) -> Option<Slot> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let fresh = u32::try_from(self.generations.len()).ok()?;
                if fresh >= self.capacity {
                    return None;
                }
                self.generations.push(0);
                fresh
            }
        };
        let generation = self.generations.get_mut(id as usize)?;
        *generation = generation.wrapping_add(1);
        Some(Slot {
            id,
            generation: *generation,
        })
    }

    /// Gives back an index that no program knows: it was never shown to the kernel, or has rested.
    pub(super) fn give_back(&mut self, id: u32) {
        self.free.push(id);
    }

    /// Retires an index that readers may still hold.
    pub(super) fn retire(&mut self, id: u32, now: Instant) {
        self.resting.push(now, id);
    }

    /// Frees what has rested long enough; tells whether anything was.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        let rested = self.take_rested(now);
        let has_room = !rested.is_empty();
        self.free.extend(rested);
        has_room
    }

    /// Takes what has rested long enough, to be given back, or retired again.
    pub(super) fn take_rested(&mut self, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| self.resting.pop_rested(now)).collect()
    }

    /// Indices that could be taken now.
    pub(super) fn room(&self) -> usize {
        self.capacity as usize - self.generations.len() + self.free.len()
    }

    /// Indices in use; those at rest are not.
    pub(super) fn used(&self) -> usize {
        self.generations.len() - self.free.len() - self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;
    use crate::kernel::quarantine::GRACE;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    proptest! {
        #[test]
        fn an_index_has_one_owner_and_rests_between_two(steps in prop::collection::vec((any::<bool>(), any::<usize>(), 0_u64..700), 1..200)) {
            const CAPACITY: u32 = 8;
            let mut now = Instant::now();
            let mut slots = Slots::new(CAPACITY);
            let mut held = Vec::new();
            let mut retired: BTreeMap<u32, Instant> = BTreeMap::new();
            let mut generations: BTreeMap<u32, u32> = BTreeMap::new();

            for (take, index, pause_ms) in steps {
                now += Duration::from_millis(pause_ms);
                slots.settle(now);
                if take {
                    let room = slots.room();
                    let taken = slots.take();
                    prop_assert_eq!(taken.is_some(), room > 0);
                    if let Some(slot) = taken {
                        prop_assert!(slot.id < CAPACITY && !held.contains(&slot.id));
                        if let Some(since) = retired.remove(&slot.id) {
                            prop_assert!(now - since >= GRACE);
                        }
                        let last = generations.insert(slot.id, slot.generation).unwrap_or(0);
                        prop_assert_eq!(slot.generation, last + 1);
                        held.push(slot.id);
                    }
                } else if !held.is_empty() {
                    let id = held.swap_remove(index % held.len());
                    slots.retire(id, now);
                    retired.insert(id, now);
                }
                prop_assert_eq!(slots.used(), held.len());
            }
        }
    }
}
