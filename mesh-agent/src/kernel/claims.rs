//! Who stands behind an address when several would: the first in order, then the next once it lets go.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Counted claims on keys; the smallest value that claims a key has it.
///
/// Two headless and one ordinary Service may well name one pod: its address is attributed to one of
/// them, always the same, and to the next when that one goes.
#[derive(Debug)]
pub(super) struct Claims<K, V> {
    winners: HashMap<K, (V, u32)>,
    /// Claims behind the winner's; few, so a key alone takes no room here.
    waiting: BTreeMap<(K, V), u32>,
}

/// What a claim or release changes for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<V> {
    /// The key now stands for this.
    Set(V),
    /// Nobody claims the key any more.
    Remove,
    /// Nothing.
    Keep,
}

impl<K, V> Default for Claims<K, V> {
    fn default() -> Self {
        Self {
            winners: HashMap::new(),
            waiting: BTreeMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord, V: Copy + Ord> Claims<K, V> {
    /// Adds a claim.
    pub(super) fn claim(&mut self, key: K, value: V) -> Change<V> {
        let Some((winner, count)) = self.winners.get_mut(&key) else {
            self.winners.insert(key, (value, 1));
            return Change::Set(value);
        };
        if *winner == value {
            *count += 1;
            return Change::Keep;
        }
        if value > *winner {
            *self.waiting.entry((key, value)).or_default() += 1;
            return Change::Keep;
        }
        self.waiting.insert((key, *winner), *count);
        (*winner, *count) = (value, 1);
        Change::Set(value)
    }

    /// Takes one claim back; one that was never made changes nothing.
    pub(super) fn release(&mut self, key: K, value: V) -> Change<V> {
        let Some((winner, count)) = self.winners.get_mut(&key) else {
            return Change::Keep;
        };
        if *winner != value {
            self.release_waiting(key, value);
            return Change::Keep;
        }
        if *count > 1 {
            *count -= 1;
            return Change::Keep;
        }
        let next = self
            .waiting
            .range((key, value)..)
            .next()
            .map(|((key, value), count)| (*key, *value, *count))
            .filter(|(claimed, _, _)| *claimed == key);
        let Some((_, next, claims)) = next else {
            self.winners.remove(&key);
            return Change::Remove;
        };
        self.waiting.remove(&(key, next));
        (*winner, *count) = (next, claims);
        Change::Set(next)
    }

    /// Who has the key.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.winners.get(key).map(|(winner, _)| *winner)
    }

    /// Who else claims the key.
    pub(super) fn others(&self, key: K) -> impl Iterator<Item = V> {
        let first = self.winners.get(&key).map(|(winner, _)| (key, *winner));
        first
            .into_iter()
            .flat_map(|first| self.waiting.range(first..))
            .map(|((claimed, value), _)| (*claimed, *value))
            .take_while(move |(claimed, _)| *claimed == key)
            .map(|(_, value)| value)
    }

    /// Number of keys that are claimed.
    pub(super) fn len(&self) -> usize {
        self.winners.len()
    }

    fn release_waiting(&mut self, key: K, value: V) {
        if let Some(count) = self.waiting.get_mut(&(key, value)) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&(key, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Claims};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_smallest_claim_has_the_key(steps in prop::collection::vec((any::<bool>(), 0_u8..4, 0_u8..4), 1..200)) {
            let mut claims = Claims::default();
            let mut truth: BTreeMap<(u8, u8), u32> = BTreeMap::new();
            let mut map: BTreeMap<u8, u8> = BTreeMap::new();

            for (is_claim, key, value) in steps {
                let change = if is_claim {
                    *truth.entry((key, value)).or_default() += 1;
                    claims.claim(key, value)
                } else {
                    if let Some(count) = truth.get_mut(&(key, value)) {
                        *count -= 1;
                        if *count == 0 {
                            truth.remove(&(key, value));
                        }
                    }
                    claims.release(key, value)
                };
                match change {
                    Change::Set(winner) => { map.insert(key, winner); }
                    Change::Remove => { map.remove(&key); }
                    Change::Keep => {}
                }
                let expected = truth.keys().find(|(claimed, _)| *claimed == key).map(|(_, value)| *value);
                prop_assert_eq!(map.get(&key).copied(), expected);
                prop_assert_eq!(claims.get(&key), expected);
                prop_assert_eq!(claims.len(), map.len());
                let others: Vec<_> = truth.keys().filter(|(claimed, _)| *claimed == key).skip(1).map(|(_, value)| *value).collect();
                prop_assert_eq!(claims.others(key).collect::<Vec<_>>(), others);
            }
        }
    }
}
