//! Services, their endpoint tables, and endpoints.
//!
//! ```text
//! FRONTENDS (hash)            SERVICES (array)          TABLE_ROWS (array)              ENDPOINTS (array)
//! cluster IP:port ─► service ─► TableReference (8 B) ─► header · row · row · row ─► id ─► EndpointRecord
//! ```
//!
//! A table is a range of `TABLE_ROWS` that nobody edits once it is published. Publishing is one
//! aligned 8-byte write of `SERVICES[service]`; a program that has read the old value goes on reading
//! the old range, which is used again only after a grace period. Endpoint ids likewise. (A
//! map-in-map swap would block for an RCU grace period, and a large value in a hash can be recycled
//! under the reader.)

use crate::address::SocketAddress;
use crate::wire::record;

/// A row of a table is one endpoint id; an endpoint with weight *n* stands in *n* rows.
pub type Row = u64;

/// Rows in front of a table's endpoint ids: the three words of a [`TableHeader`].
pub const HEADER_ROWS: u32 = 3;

/// Where a service's table begins in `TABLE_ROWS`, as the one word that publishes it.
///
/// The low half is the offset of the header plus one, so that zero means "not published"; the high
/// half counts publications, for people who read dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableReference(pub u64);

impl TableReference {
    /// No table: the service is not published, or withdrawn.
    pub const NONE: Self = Self(0);

    /// Refers to the table whose header begins at row `offset`.
    #[must_use]
    pub const fn new(offset: u32, publication: u32) -> Self {
        Self(((publication as u64) << 32) | (offset as u64 + 1))
    }

    /// The row at which the header begins, `None` if there is no table.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes the low half")]
    pub const fn offset(self) -> Option<u32> {
        (self.0 as u32).checked_sub(1)
    }
}

/// The value of a `FRONTENDS` entry: the service, and a check of the key it was written for.
///
/// The kernel reuses the elements of a hash at once, so a program that is held up between finding an element
/// and reading it may read another address's value. Both halves are read as one word; a reader whose own key does
/// not give the same check looks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendEntry(pub u64);

impl FrontendEntry {
    /// The entry that leads from `frontend` to `service`.
    #[inline(always)]
    #[must_use]
    pub const fn new(frontend: &SocketAddress, service: u32) -> Self {
        Self(pack(service, Self::check(frontend)))
    }

    /// The service, unless the entry was written for another address than `frontend`.
    #[inline(always)]
    #[must_use]
    pub const fn service(self, frontend: &SocketAddress) -> Option<u32> {
        let (service, check) = unpack(self.0);
        if check == Self::check(frontend) {
            Some(service)
        } else {
            None
        }
    }

    /// Mixes the key's words by odd multipliers, so that addresses and ports that differ in a few bits differ here.
    #[inline(always)]
    const fn check(frontend: &SocketAddress) -> u32 {
        let [a, b, c, d] = frontend.address.words;
        let mut mixed = frontend.port() as u32;
        mixed = (mixed ^ a).wrapping_mul(0x9e37_79b1);
        mixed = (mixed ^ (mixed >> 15) ^ b).wrapping_mul(0x85eb_ca6b);
        mixed = (mixed ^ (mixed >> 13) ^ c).wrapping_mul(0xc2b2_ae35);
        (mixed ^ (mixed >> 16) ^ d).wrapping_mul(0x27d4_eb2f)
    }
}

/// What a table says of its service, at the front of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableHeader {
    /// The service this table was written for; a reader that finds another has met a torn table.
    pub service: u32,
    /// Number of endpoint rows behind the header; zero: no usable endpoint.
    pub length: u32,
    /// `sessionAffinity: ClientIP` timeout in seconds; zero: no affinity.
    pub affinity_timeout_s: u32,
    /// Which connects go to the proxy: [`flag`]s.
    pub flags: u32,
    /// Destination that a connect without a usable endpoint is counted for.
    pub destination: u32,
    /// Destination that connections to the proxy are counted for; zero: there are none.
    pub routed_destination: u32,
}

/// Bits of [`TableHeader::flags`].
pub mod flag {
    /// Connects of every caller go to the proxy.
    pub const ROUTED: u32 = 1;
    /// Connects of callers in `CONSUMERS` go to the proxy.
    pub const ROUTED_FOR_CONSUMERS: u32 = 2;
    /// Connects that should go to the proxy and cannot are refused.
    pub const CLOSED_ON_FAILURE: u32 = 4;
}

impl TableHeader {
    /// The header as the three rows that stand in front of a table.
    #[must_use]
    pub const fn to_rows(self) -> [Row; HEADER_ROWS as usize] {
        [
            pack(self.service, self.length),
            pack(self.affinity_timeout_s, self.flags),
            pack(self.destination, self.routed_destination),
        ]
    }

    /// Reads a header from its three rows.
    #[inline(always)]
    #[must_use]
    pub const fn from_rows(rows: [Row; HEADER_ROWS as usize]) -> Self {
        let (service, length) = unpack(rows[0]);
        let (affinity_timeout_s, flags) = unpack(rows[1]);
        let (destination, routed_destination) = unpack(rows[2]);
        Self {
            service,
            length,
            affinity_timeout_s,
            flags,
            destination,
            routed_destination,
        }
    }
}

const fn pack(low: u32, high: u32) -> u64 {
    (low as u64) | ((high as u64) << 32)
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "takes the two halves apart"
)]
const fn unpack(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

record! {
    /// One endpoint of one service (port and address family). Index in `ENDPOINTS`: the endpoint id.
    ///
    /// Written before the first table or address that names the id. `usable` and `protocol` alone change in place, as the
    /// one aligned word they share.
    pub struct EndpointRecord, size 40 {
        /// Where it listens.
        pub address: SocketAddress,
        /// The service it belongs to.
        pub service: u32,
        /// Labels of connections to it: an id the agent resolves.
        pub destination: u32,
        /// Number of times this id has been given out; tells a reused id from the one remembered.
        pub generation: u32,
        /// One while the endpoint stands in the service's table, else zero (removed, terminating,
        /// not ready, or of a locality not in use).
        pub usable: u32,
        /// What it speaks, a [`crate::socket::Protocol`] as integer.
        pub protocol: u32,
    }
}

/// The value of an `ENDPOINT_ADDRS` entry: an endpoint id, and whether the address is an endpoint of other Services too.
///
/// Ids are less than 2^31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointEntry(pub u32);

impl EndpointEntry {
    const SHARED: u32 = 1 << 31;

    /// The entry that leads to `endpoint`.
    #[must_use]
    pub const fn new(endpoint: u32, is_shared: bool) -> Self {
        Self(endpoint | if is_shared { Self::SHARED } else { 0 })
    }

    /// The endpoint: of several, the one that connections straight to the address are attributed to.
    #[inline(always)]
    #[must_use]
    pub const fn endpoint(self) -> u32 {
        self.0 & !Self::SHARED
    }

    /// Whether several Services have this endpoint, so that an accepting socket does not know for which it serves.
    #[inline(always)]
    #[must_use]
    pub const fn is_shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{FrontendEntry, TableHeader, TableReference};
    use crate::address::{Address, SocketAddress};
    use proptest::prelude::proptest;

    proptest! {
        #[test]
        fn a_header_survives_its_rows(words: [u32; 6]) {
            let [service, length, affinity_timeout_s, flags, destination, routed_destination] = words;
            let header = TableHeader { service, length, affinity_timeout_s, flags, destination, routed_destination };
            assert_eq!(TableHeader::from_rows(header.to_rows()), header);
        }

        #[test]
        fn a_frontend_entry_gives_its_service_to_its_own_key(v6: [u8; 16], port: u16, service: u32) {
            let key = SocketAddress::new(Address::from_v6(v6), port);
            assert_eq!(FrontendEntry::new(&key, service).service(&key), Some(service));
        }

        #[test]
        fn a_frontend_entry_is_refused_by_its_neighbours(v4: [u8; 4], port: u16, bit in 0_u32..16, service: u32) {
            let entry = FrontendEntry::new(&SocketAddress::new(Address::from_v4(v4), port), service);
            let other_port = SocketAddress::new(Address::from_v4(v4), port ^ (1 << bit));
            assert_eq!(entry.service(&other_port), None);
            let [a, b, c, d] = v4;
            let other_address = Address::from_v4([a, b, c ^ (1 << (bit % 8)), d]);
            assert_eq!(entry.service(&SocketAddress::new(other_address, port)), None);
        }

        #[test]
        fn a_reference_gives_its_offset(offset in 0..u32::MAX, publication: u32) {
            assert_eq!(TableReference::new(offset, publication).offset(), Some(offset));
        }

        #[test]
        fn two_publications_of_one_place_differ(offset in 0..u32::MAX, publication in 0..u32::MAX) {
            assert_ne!(TableReference::new(offset, publication), TableReference::new(offset, publication + 1));
        }
    }

    #[test]
    fn zero_refers_to_nothing() {
        assert_eq!(TableReference::NONE.offset(), None);
    }
}
