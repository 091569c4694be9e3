//! Ids of sources and destinations: small integers that the kernel counts under, and the labels they stand for.
//!
//! An id is never given to other labels, not even after it was freed: a connection that outlives its
//! Service can then never be counted for another one.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The id that stands for no labels.
pub(super) const NO_LABELS: u32 = 0;

/// The labels behind ids, shared with the observer. Taken when labels come and go and when measurements are
/// read, never for a connection.
#[derive(Debug)]
pub(super) struct Names<L>(Arc<RwLock<HashMap<u32, L>>>);

impl<L> Clone for Names<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Clone> Names<L> {
    /// The labels an id stands for; `None` once it was freed.
    pub(super) fn get(&self, id: u32) -> Option<L> {
        self.read().get(&id).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<u32, L>> {
        // Every critical section is a single map operation: a panic elsewhere leaves nothing half done.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<u32, L>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives out ids for labels and counts who uses them.
#[derive(Debug)]
pub(super) struct Interner<L> {
    ids: HashMap<L, u32>,
    users: HashMap<u32, u32>,
    /// Ids nobody uses any more; their counts may still be in the kernel.
    retired: BTreeSet<u32>,
    names: Names<L>,
    next: u32,
    /// Ids end below this one.
    limit: u32,
}

impl<L: Clone + Eq + Hash> Interner<L> {
    /// Starts with no labels; ids are at least 1 and less than `limit`.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            ids: HashMap::new(),
            users: HashMap::new(),
            retired: BTreeSet::new(),
            names: Names(Arc::new(RwLock::new(HashMap::new()))),
            next: NO_LABELS + 1,
            limit,
        }
    }

    /// The id of these labels, with one more user; [`NO_LABELS`] when ids have run out, after billions.
    pub(super) fn acquire(&mut self, labels: L) -> u32 {
        if let Some(&id) = self.ids.get(&labels) {
            *self.users.entry(id).or_default() += 1;
            self.retired.remove(&id);
            return id;
        }
        if self.next >= self.limit {
            return NO_LABELS;
        }
        let id = self.next;
        self.next += 1;
        self.ids.insert(labels.clone(), id);
        self.users.insert(id, 1);
        self.names.write().insert(id, labels);
        id
    }

    /// Takes one user away; the last one retires the id.
    pub(super) fn release(&mut self, id: u32) {
        let Some(users) = self.users.get_mut(&id) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.users.remove(&id);
            self.retired.insert(id);
        }
    }

    /// Whether counts under this id have no future: it is retired, or unknown altogether.
    pub(super) fn is_retired(&self, id: u32) -> bool {
        !self.users.contains_key(&id)
    }

    /// Ids that are retired but not freed.
    pub(super) fn retired(&self) -> impl Iterator<Item = u32> {
        self.retired.iter().copied()
    }

    /// Forgets the labels of a retired id.
    pub(super) fn free(&mut self, id: u32) {
        if !self.retired.remove(&id) {
            return;
        }
        if let Some(labels) = self.names.write().remove(&id) {
            self.ids.remove(&labels);
        }
    }

    /// The shared side.
    pub(super) fn names(&self) -> Names<L> {
        self.names.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Interner, NO_LABELS};

    #[test]
    fn labels_keep_their_id_while_used_and_are_revived_while_retired() {
        let mut interner = Interner::new(100);
        let first = interner.acquire("a");

        assert_eq!(interner.acquire("a"), first);
        interner.release(first);
        assert!(!interner.is_retired(first));
        interner.release(first);
        assert!(interner.is_retired(first));
        assert_eq!(interner.retired().collect::<Vec<_>>(), [first]);

        assert_eq!(interner.acquire("a"), first);
        assert_eq!(interner.retired().count(), 0);
        assert_eq!(interner.names().get(first), Some("a"));
    }

    #[test]
    fn a_freed_id_is_never_given_out_again() {
        let mut interner = Interner::new(100);
        let first = interner.acquire("a");
        interner.release(first);

        interner.free(first);

        assert_eq!(interner.names().get(first), None);
        assert_ne!(interner.acquire("b"), first);
        assert_ne!(interner.acquire("a"), first);
    }

    #[test]
    fn an_id_in_use_is_not_freed() {
        let mut interner = Interner::new(100);
        let first = interner.acquire("a");

        interner.free(first);

        assert_eq!(interner.names().get(first), Some("a"));
    }

    #[test]
    fn exhausted_ids_stand_for_no_labels() {
        let mut interner = Interner::new(2);
        let first = interner.acquire("a");

        assert_ne!(first, NO_LABELS);
        assert_eq!(interner.acquire("b"), NO_LABELS);
        interner.release(NO_LABELS);
    }
}
