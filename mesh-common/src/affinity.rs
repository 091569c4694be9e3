//! `sessionAffinity: ClientIP`: which endpoint a client used last, bounded and without locks.
//!
//! `AFFINITY` is a set-associative table: the hash of (service, client) picks a set of [`WAYS`] entries. An
//! entry is two words that are each written at once; a reader that meets a half-replaced entry gets an endpoint
//! that the caller checks against the service anyway. Expired entries are simply free, so nothing needs sweeping.

use crate::wire::record;

/// Entries in a set.
pub const WAYS: usize = 8;

/// Sets in the table; a power of two.
pub const SETS: u32 = 8_192;

record! {
    /// One remembered choice.
    pub struct AffinityEntry, size 24 {
        /// Hash of service and client; zero: empty.
        pub tag: u64,
        /// Low half: endpoint id; high half: its generation.
        pub endpoint: u64,
        /// When the entry ends, `CLOCK_MONOTONIC` in ns.
        pub expires_ns: u64,
    }
}

record! {
    /// One set.
    pub struct AffinitySet, size 192 {
        /// Its entries, in no order.
        pub entries: [AffinityEntry; WAYS],
    }
}
