//! Addresses: always 16 bytes, IPv4 as v4-mapped IPv6 (RFC 4291 section 2.5.5.2).

use crate::wire::record;
use core::cmp::Ordering;

record! {
    /// An IP address in network order, IPv4 v4-mapped.
    ///
    /// Kept as words, so that the kernel programs copy and compare words, not bytes.
    #[derive(Hash)]
    pub struct Address, size 16 {
        /// Four words, each as it stands in memory (the form of the kernel's contexts).
        pub words: [u32; 4],
    }
}

impl Address {
    /// The unspecified IPv6 address, `::`.
    pub const UNSPECIFIED: Self = Self { words: [0; 4] };

    /// The words in front of a v4-mapped address's own, `::ffff:0:0/96`.
    const V4_MAPPED: [u32; 3] = [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff])];

    /// Makes the v4-mapped form of an IPv4 address given in network order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4(v4: [u8; 4]) -> Self {
        let [a, b, c] = Self::V4_MAPPED;
        Self {
            words: [a, b, c, u32::from_ne_bytes(v4)],
        }
    }

    /// Makes an address from sixteen bytes in network order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v6(o: [u8; 16]) -> Self {
        Self {
            words: [
                u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
                u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
                u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
                u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
            ],
        }
    }

    /// The sixteen bytes in network order.
    #[inline(always)]
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        let a = self.words[0].to_ne_bytes();
        let b = self.words[1].to_ne_bytes();
        let c = self.words[2].to_ne_bytes();
        let d = self.words[3].to_ne_bytes();
        [
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1],
            d[2], d[3],
        ]
    }

    /// Whether this is `::` or, v4-mapped, `0.0.0.0`: the local address of an unbound socket.
    #[inline(always)]
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        *self == Self::UNSPECIFIED || *self == Self::from_v4([0; 4])
    }

    /// The four bytes of a v4-mapped address, `None` for any other.
    #[inline(always)]
    #[must_use]
    pub fn to_v4(self) -> Option<[u8; 4]> {
        let [a, b, c, v4] = self.words;
        if [a, b, c] == Self::V4_MAPPED {
            Some(v4.to_ne_bytes())
        } else {
            None
        }
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.octets().cmp(&other.octets())
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

record! {
    /// An address and a TCP port: the key of a frontend, and where an endpoint listens.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct SocketAddress, size 20 {
        /// The address.
        pub address: Address,
        /// The port in network order.
        pub port: [u8; 2],
        /// Zero.
        pub reserved: [u8; 2],
    }
}

impl SocketAddress {
    /// No address: `[::]:0`.
    pub const UNSPECIFIED: Self = Self::new(Address::UNSPECIFIED, 0);

    /// Joins an address and a port in host order.
    #[inline(always)]
    #[must_use]
    pub const fn new(address: Address, port: u16) -> Self {
        Self {
            address,
            port: port.to_be_bytes(),
            reserved: [0; 2],
        }
    }

    /// Joins an address and a port in network order.
    #[inline(always)]
    #[must_use]
    pub const fn from_parts(address: Address, port: [u8; 2]) -> Self {
        Self {
            address,
            port,
            reserved: [0; 2],
        }
    }

    /// The port in host order.
    #[inline(always)]
    #[must_use]
    pub const fn port(&self) -> u16 {
        u16::from_be_bytes(self.port)
    }
}

#[cfg(feature = "user")]
mod user {
    use super::{Address, SocketAddress};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    impl From<IpAddr> for Address {
        fn from(ip: IpAddr) -> Self {
            match ip {
                IpAddr::V4(v4) => Self::from_v4(v4.octets()),
                IpAddr::V6(v6) => Self::from_v6(v6.octets()),
            }
        }
    }

    impl From<Address> for IpAddr {
        fn from(address: Address) -> Self {
            address.to_v4().map_or_else(
                || Self::V6(Ipv6Addr::from(address.octets())),
                |v4| Self::V4(Ipv4Addr::from(v4)),
            )
        }
    }

    impl From<SocketAddr> for SocketAddress {
        fn from(socket_address: SocketAddr) -> Self {
            Self::new(socket_address.ip().into(), socket_address.port())
        }
    }

    impl From<SocketAddress> for SocketAddr {
        fn from(socket_address: SocketAddress) -> Self {
            Self::new(socket_address.address.into(), socket_address.port())
        }
    }
}

#[cfg(all(test, feature = "user"))]
mod tests {
    use super::{Address, SocketAddress};
    use proptest::prelude::{any, proptest};
    use std::net::{IpAddr, SocketAddr};
    use zerocopy::IntoBytes;

    proptest! {
        #[test]
        fn ipv4_survives_the_v4_mapped_form(v4: [u8; 4], port: u16) {
            let address = SocketAddr::new(IpAddr::from(v4), port);
            let record = SocketAddress::from(address);
            assert_eq!(record.address.to_v4(), Some(v4));
            assert_eq!(SocketAddr::from(record), address);
        }

        #[test]
        fn ipv6_survives(octets: [u8; 16], port: u16) {
            let record = SocketAddress::new(Address::from_v6(octets), port);
            assert_eq!(record.address.octets(), octets);
            assert_eq!(record.port(), port);
            let mapped = octets[..10] == [0; 10] && octets[10..12] == [0xff; 2];
            assert_eq!(record.address.to_v4().is_some(), mapped);
        }

        #[test]
        fn the_record_is_the_address_in_network_order(octets in any::<[u8; 16]>(), port: u16) {
            let record = SocketAddress::new(Address::from_v6(octets), port);
            assert_eq!(record.as_bytes()[..16], octets);
            assert_eq!(record.as_bytes()[16..18], port.to_be_bytes());
            assert_eq!(SocketAddress::from_parts(record.address, record.port), record);
        }

        #[test]
        fn addresses_are_ordered_as_their_bytes(one: [u8; 16], other: [u8; 16]) {
            let order = Address::from_v6(one).cmp(&Address::from_v6(other));
            assert_eq!(order, one.cmp(&other));
        }
    }

    #[test]
    fn unbound_sockets_have_an_unspecified_address_in_both_families() {
        assert!(Address::UNSPECIFIED.is_unspecified());
        assert!(Address::from_v4([0; 4]).is_unspecified());
        assert!(!Address::from_v4([127, 0, 0, 1]).is_unspecified());
        assert!(
            !Address::from_v6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).is_unspecified()
        );
    }
}
