//! How full the maps are, as far as the agent's own bookkeeping knows; shared by syncer and observer.

use mesh_common::names::MAPS;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries and refusals by map.
#[derive(Debug)]
pub(super) struct Fill {
    entries: [AtomicU64; MAPS.len()],
    full: [AtomicU64; MAPS.len()],
    waiting: [AtomicU64; MAPS.len()],
}

impl Default for Fill {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            entries: zeros(),
            full: zeros(),
            waiting: zeros(),
        }
    }
}

impl Fill {
    /// Notes the number of entries in use.
    pub(super) fn set_entries(&self, map: &str, entries: usize) {
        if let Some(cell) = cell(&self.entries, map) {
            cell.store(entries as u64, Ordering::Relaxed);
        }
    }

    /// Counts a refusal for want of room.
    pub(super) fn count_full(&self, map: &str) {
        if let Some(cell) = cell(&self.full, map) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes how many Services wait for room, by map.
    pub(super) fn set_waiting<'a>(&self, maps: impl Iterator<Item = &'a str> + Clone) {
        for (map, cell) in MAPS.iter().zip(&self.waiting) {
            let waiting = maps.clone().filter(|short| short == map).count();
            cell.store(waiting as u64, Ordering::Relaxed);
        }
    }

    /// Services that wait for room.
    pub(super) fn waiting(&self, map: &str) -> u64 {
        cell(&self.waiting, map).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Entries in use.
    pub(super) fn entries(&self, map: &str) -> u64 {
        cell(&self.entries, map).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Refusals for want of room.
    pub(super) fn full(&self, map: &str) -> u64 {
        cell(&self.full, map).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }
}

fn cell<'a>(cells: &'a [AtomicU64; MAPS.len()], map: &str) -> Option<&'a AtomicU64> {
    let index = MAPS.iter().position(|known| *known == map)?;
    cells.get(index)
}
