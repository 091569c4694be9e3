//! `sessionAffinity: ClientIP`: which endpoint a client used last, bounded and without locks.
//!
//! `AFFINITY` is a set-associative table: the tag of (service, client) picks a set of [`WAYS`] entries. An
//! entry is three words that are each written at once; a reader that meets a half-replaced entry gets an endpoint
//! that the caller checks against the service anyway. Expired entries are simply free, so nothing needs sweeping.
//!
//! A client without an entry is not sent to a random row but to [`first_choice`], which is the same for all its
//! connects of one timeout period: two first connects at the same moment on two CPUs agree without a lock, and a client
//! for which a full set has no room keeps its endpoint at least for the period.

use crate::address::Address;
use crate::wire::record;

/// Entries in a set.
pub const WAYS: usize = 8;

/// Sets in the table; a power of two.
pub const SETS: u32 = 8_192;

const NANOSECONDS: u64 = 1_000_000_000;

record! {
    /// One remembered choice.
    pub struct AffinityEntry, size 24 {
        /// [`Tag`] of service and client; zero: empty.
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

impl AffinityEntry {
    /// Remembers `endpoint` for the client of `tag` from now on.
    #[inline(always)]
    #[must_use]
    pub const fn new(tag: Tag, endpoint: RememberedEndpoint, expires_ns: u64) -> Self {
        Self {
            tag: tag.0,
            endpoint: (endpoint.id as u64) | ((endpoint.generation as u64) << 32),
            expires_ns,
        }
    }
}

/// An endpoint as an entry remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RememberedEndpoint {
    /// The endpoint id.
    pub id: u32,
    /// The id's generation at that time: an id that has been given out anew is another endpoint.
    pub generation: u32,
}

/// Hash of a service and a client, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u64);

impl Tag {
    /// The client is a network namespace, or one local address in it if the socket is bound to one.
    #[inline(always)]
    #[must_use]
    pub const fn new(service: u32, netns_cookie: u64, bound: Address) -> Self {
        let words = bound.words;
        let hash = mix(netns_cookie ^ ((service as u64) << 32));
        let hash = mix(hash ^ (words[0] as u64) ^ ((words[1] as u64) << 32));
        let hash = mix(hash ^ (words[2] as u64) ^ ((words[3] as u64) << 32));
        if hash == 0 { Self(1) } else { Self(hash) }
    }

    /// Index of the set that holds this client, always less than [`SETS`].
    #[inline(always)]
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "masked to the number of sets"
    )]
    pub const fn set(self) -> u32 {
        (self.0 as u32) & (SETS - 1)
    }
}

/// What a set knows of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Finding {
    /// It used this endpoint last; the entry stands at `way`.
    Remembered {
        /// Index of the entry in its set.
        way: usize,
        /// The endpoint; it may have gone since.
        endpoint: RememberedEndpoint,
    },
    /// Nothing, and the entry at `way` is free.
    Free {
        /// Index of the entry in its set.
        way: usize,
    },
    /// Nothing, and no entry is free.
    Full,
}

/// Looks for a client in its set, whose entries `entry` reads one by one.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "takes the two halves apart"
)]
pub fn find(tag: Tag, now_ns: u64, mut entry: impl FnMut(usize) -> AffinityEntry) -> Finding {
    let mut free = Finding::Full;
    let mut way = 0;
    while way < WAYS {
        let seen = entry(way);
        let live = seen.tag != 0 && now_ns < seen.expires_ns;
        if live && seen.tag == tag.0 {
            let endpoint = RememberedEndpoint {
                id: seen.endpoint as u32,
                generation: (seen.endpoint >> 32) as u32,
            };
            return Finding::Remembered { way, endpoint };
        }
        if !live && matches!(free, Finding::Full) {
            free = Finding::Free { way };
        }
        way += 1;
    }
    free
}

/// When an entry that is used now ends: the timeout restarts with each connect.
#[inline(always)]
#[must_use]
pub const fn expiry_ns(now_ns: u64, timeout_s: u32) -> u64 {
    now_ns.saturating_add((timeout_s as u64) * NANOSECONDS)
}

/// Where a client without an entry goes, in place of a random number: see the module's description.
#[inline(always)]
#[must_use]
pub const fn first_choice(tag: Tag, now_ns: u64, timeout_s: u32) -> u32 {
    // A timeout of zero means that there is no affinity; nobody asks then.
    let period = match now_ns.checked_div((timeout_s as u64) * NANOSECONDS) {
        Some(period) => period,
        None => now_ns,
    };
    (mix(tag.0 ^ mix(period)) >> 32) as u32
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
#[inline(always)]
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
