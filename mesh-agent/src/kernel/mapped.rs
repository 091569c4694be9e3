//! Kernel arrays mapped into the agent's memory, written with aligned 8-byte stores: no system call per row.
//!
//! Needs `BPF_F_MMAPABLE` (kernel 5.5).

use super::KernelError;
use super::error::Cause;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one word.
const WORD: usize = size_of::<u64>();

/// An array map whose values are a whole number of 8-byte words.
#[derive(Debug)]
pub(super) struct MappedArray {
    base: NonNull<AtomicU64>,
    entries: usize,
    words_per_entry: usize,
}

// SAFETY: the mapping is shared memory that belongs to this value alone in this process, is not tied to a
// thread, and is accessed through atomics only.
unsafe impl Send for MappedArray {}

// SAFETY: as above; whoever holds a reference reads and writes the mapping through atomics only.
unsafe impl Sync for MappedArray {}

impl MappedArray {
    /// Maps the array behind `map`, whose values are `value_size` bytes.
    pub(super) fn new(
        name: &'static str,
        map: impl AsFd,
        entries: u32,
        value_size: usize,
    ) -> Result<Self, KernelError> {
        let entries = entries as usize;
        let words_per_entry = value_size.div_ceil(WORD);
        let length = entries * words_per_entry * WORD;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )
        };
        let base = base.map_err(|errno| KernelError::Map {
            action: "map into memory",
            map: name,
            cause: Cause::new(&errno),
        })?;
        let Some(base) = NonNull::new(base.cast()) else {
            return Err(KernelError::Missing {
                kind: "mapping of",
                name,
            });
        };
        Ok(Self {
            base,
            entries,
            words_per_entry,
        })
    }

    /// Stores one word of an entry, visible to every program that sees a later [`Ordering::Release`] store.
    ///
    /// An index beyond the array is ignored: allocators give out none.
    pub(super) fn store(&self, index: u32, word: usize, value: u64, ordering: Ordering) {
        let position = index as usize * self.words_per_entry + word;
        debug_assert!(word < self.words_per_entry && position < self.words().len());
        if let Some(cell) = self.words().get(position) {
            cell.store(value, ordering);
        }
    }

    fn words(&self) -> &[AtomicU64] {
        let count = self.entries * self.words_per_entry;
        // SAFETY: `new` mapped that many words, page-aligned and thus aligned for `AtomicU64`, for as long as
        // `self` lives; memory shared with the kernel is only ever accessed atomically.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), count) }
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        let length = self.entries * self.words_per_entry * WORD;
        // SAFETY: the mapping was made by `new` with this length, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), length) };
        debug_assert!(unmapped.is_ok());
    }
}
