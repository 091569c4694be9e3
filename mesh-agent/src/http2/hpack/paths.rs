//! Paths that a caller spells out with every request: most encoders find them not worth an entry, and they come again all the same.

use super::field::Entry;
use super::hash::Hash;

/// Bits of a place: how many are kept.
const PLACE_BITS: u32 = 2;

/// Bytes of the longest field that is kept.
const BYTES_MAX: usize = 256;

/// Whether a field that begins so is a `:path` without indexing, of a name in the fixed table (RFC 7541, 6.2.2).
pub(super) const fn is_unindexed_path(first: u8) -> bool {
    matches!(first, 4 | 5)
}

/// The paths that came last, by the bytes they were written as.
#[derive(Debug)]
pub(super) struct Paths(Vec<Option<Path>>);

#[derive(Clone, Debug)]
struct Path {
    key: Box<[u8]>,
    entry: Entry,
}

impl Paths {
    /// None, which allocates nothing.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<&Entry> {
        let path = self.0.get(place(key))?.as_ref()?;
        (*path.key == *key).then_some(&path.entry)
    }

    /// Keeps a path in place of the one that was there.
    pub(super) fn keep(&mut self, key: &[u8], entry: Entry) {
        if entry.bytes > BYTES_MAX {
            return;
        }
        if self.0.is_empty() {
            self.0 = vec![None; 1 << PLACE_BITS];
        }
        if let Some(path) = self.0.get_mut(place(key)) {
            let key = key.into();
            *path = Some(Path { key, entry });
        }
    }
}

fn place(key: &[u8]) -> usize {
    Hash::of(key).place(PLACE_BITS)
}
