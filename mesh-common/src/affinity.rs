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

#[cfg(test)]
mod tests {
    use super::{
        AffinityEntry, AffinitySet, Finding, NANOSECONDS, RememberedEndpoint, SETS, Tag, WAYS,
        expiry_ns, find, first_choice,
    };
    use crate::address::Address;
    use crate::decide::pick;
    use proptest::prelude::proptest;

    const EMPTY: AffinitySet = AffinitySet {
        entries: [AffinityEntry {
            tag: 0,
            endpoint: 0,
            expires_ns: 0,
        }; WAYS],
    };

    const fn endpoint(id: u32) -> RememberedEndpoint {
        RememberedEndpoint { id, generation: 1 }
    }

    fn client(cookie: u64) -> Tag {
        Tag::new(7, cookie, Address::UNSPECIFIED)
    }

    fn look(set: &AffinitySet, tag: Tag, now_ns: u64) -> Finding {
        find(tag, now_ns, |way| set.entries[way])
    }

    /// What a connect does: uses the remembered endpoint or takes `fresh`, and remembers it from `now_ns` on.
    fn connect(set: &mut AffinitySet, tag: Tag, now_ns: u64, timeout_s: u32, fresh: u32) -> u32 {
        let (way, used) = match look(set, tag, now_ns) {
            Finding::Remembered { way, endpoint } => (way, endpoint),
            Finding::Free { way } => (way, endpoint(fresh)),
            Finding::Full => return fresh,
        };
        set.entries[way] = AffinityEntry::new(tag, used, expiry_ns(now_ns, timeout_s));
        used.id
    }

    #[test]
    fn the_timeout_restarts_with_each_connect() {
        let mut set = EMPTY;
        assert_eq!(connect(&mut set, client(1), 0, 10, 1), 1);
        assert_eq!(connect(&mut set, client(1), 9 * NANOSECONDS, 10, 2), 1);
        assert_eq!(connect(&mut set, client(1), 18 * NANOSECONDS, 10, 3), 1);
    }

    #[test]
    fn an_entry_ends_with_its_timeout() {
        let mut set = EMPTY;
        connect(&mut set, client(1), 0, 10, 1);
        assert_eq!(connect(&mut set, client(1), 10 * NANOSECONDS - 1, 10, 2), 1);
        assert_eq!(
            connect(&mut set, client(1), 20 * NANOSECONDS - 1, 10, 3),
            3,
            "ten seconds after the second connect"
        );
    }

    #[test]
    fn a_full_set_keeps_its_clients_and_turns_others_away() {
        let mut set = EMPTY;
        let clients = || (0_u32..).take(WAYS);
        for id in clients() {
            assert_eq!(connect(&mut set, client(u64::from(id)), 0, 10, id), id);
        }
        assert_eq!(look(&set, client(99), 1), Finding::Full);
        for id in clients() {
            assert_eq!(connect(&mut set, client(u64::from(id)), 1, 10, 77), id);
        }
    }

    #[test]
    fn an_expired_entry_makes_room() {
        let mut set = EMPTY;
        for cookie in 0..WAYS as u64 {
            connect(&mut set, client(cookie), cookie, 1, 0);
        }
        assert_eq!(
            look(&set, client(99), NANOSECONDS + 2),
            Finding::Free { way: 0 },
            "the first entry has expired"
        );
    }

    #[test]
    fn service_namespace_and_bound_address_tell_clients_apart() {
        let bound = Address::from_v4([10, 0, 0, 1]);
        let tags = [
            Tag::new(1, 1, Address::UNSPECIFIED),
            Tag::new(2, 1, Address::UNSPECIFIED),
            Tag::new(1, 2, Address::UNSPECIFIED),
            Tag::new(1, 1, bound),
            Tag::new(1, 1, Address::from_v4([10, 0, 0, 2])),
        ];
        for (index, tag) in tags.iter().enumerate() {
            assert!(!tags[..index].contains(tag), "{tags:?}");
        }
    }

    #[test]
    fn clients_without_an_entry_spread_over_the_endpoints() {
        let mut shares = [0_u32; 5];
        for cookie in 0..50_000 {
            shares[pick(first_choice(client(cookie), 1, 10_800), 5) as usize] += 1;
        }
        // Four degrees of freedom: 18.5 at p = 0.001.
        let chi_square: f64 = shares
            .iter()
            .map(|&share| (f64::from(share) - 10_000.0).powi(2) / 10_000.0)
            .sum();
        assert!(chi_square < 18.5, "{shares:?}");
    }

    #[test]
    fn clients_spread_over_the_sets() {
        let mut fill = [0_u8; SETS as usize];
        for cookie in 0..u64::from(SETS) {
            fill[client(cookie).set() as usize] += 1;
        }
        let fullest = fill.iter().max().copied();
        assert!(
            fullest < Some(12),
            "{fullest:?} of {SETS} clients share a set"
        );
    }

    proptest! {
        #[test]
        fn first_choice_is_constant_within_a_period(cookie: u64, period in 0_u64..100_000, at in 0_u64..10, timeout_s in 1_u32..86_400) {
            let period_ns = u64::from(timeout_s) * NANOSECONDS;
            let start = period * period_ns;
            let within = start + at * (period_ns / 10);
            let tag = client(cookie);
            assert_eq!(first_choice(tag, start, timeout_s), first_choice(tag, within, timeout_s));
        }

        #[test]
        fn tags_are_never_empty_and_sets_exist(service: u32, cookie: u64, octets: [u8; 16]) {
            let tag = Tag::new(service, cookie, Address::from_v6(octets));
            assert_ne!(tag.0, 0);
            assert!(tag.set() < SETS);
        }

        #[test]
        fn whatever_a_set_holds_a_way_exists(words: [[u64; 3]; WAYS], cookie: u64, now_ns: u64) {
            let set = AffinitySet { entries: words.map(|[tag, endpoint, expires_ns]| AffinityEntry { tag, endpoint, expires_ns }) };
            match look(&set, client(cookie), now_ns) {
                Finding::Remembered { way, .. } | Finding::Free { way } => assert!(way < WAYS),
                Finding::Full => {}
            }
        }

        #[test]
        fn an_endpoint_survives_its_entry(id: u32, generation: u32, cookie: u64) {
            let mut set = EMPTY;
            let endpoint = RememberedEndpoint { id, generation };
            set.entries[3] = AffinityEntry::new(client(cookie), endpoint, 10);
            assert_eq!(look(&set, client(cookie), 9), Finding::Remembered { way: 3, endpoint });
        }
    }
}
