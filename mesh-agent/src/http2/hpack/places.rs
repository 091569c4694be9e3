//! Where in the encoder's table a name or a field may be, by its hash.

use super::hash::Hash;

/// Sets of places: two for each of the entries that a full table has (names and fields of 32 bytes beside their texts).
const SET_BITS: u32 = 6;

/// Places that a hash may be in; a full set forgets what was inserted first.
const WAYS: usize = 4;

/// Which insertion to look at; whether it is still there, and is what was hashed, the table itself says.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u32,
    insertion: u32,
}

/// The places, allocated with the first insertion.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<[Place; WAYS]>);

impl Places {
    /// The first insertion with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: Hash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let set = self.0.get(hash.place(SET_BITS))?;
        set.iter()
            .find(|place| place.tag == hash.tag() && is_it(place.insertion))
            .map(|place| place.insertion)
    }

    /// Remembers an insertion, in the place of the last one with this hash or of the oldest.
    pub(super) fn remember(&mut self, hash: Hash, insertion: u32) {
        if self.0.is_empty() {
            self.0 = vec![[Place::default(); WAYS]; 1 << SET_BITS];
        }
        let tag = hash.tag();
        let age = |place: &Place| insertion.wrapping_sub(place.insertion);
        let set = self.0.get_mut(hash.place(SET_BITS));
        let place = set.and_then(|set| {
            set.iter_mut()
                .max_by_key(|place| (place.tag == tag, age(place)))
        });
        if let Some(place) = place {
            *place = Place { tag, insertion };
        }
    }
}
