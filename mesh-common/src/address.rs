//! Addresses: always 16 bytes, IPv4 as v4-mapped IPv6 (RFC 4291 section 2.5.5.2).

use crate::wire::record;

/// The first twelve bytes of a v4-mapped address, `::ffff:0:0/96`.
const V4_MAPPED_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

record! {
    /// An IP address in network order, IPv4 v4-mapped.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct Address, size 16 {
        /// The sixteen bytes.
        pub octets: [u8; 16],
    }
}

impl Address {
    /// The unspecified IPv6 address, `::`.
    pub const UNSPECIFIED: Self = Self { octets: [0; 16] };

    /// Makes the v4-mapped form of an IPv4 address given in network order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4(v4: [u8; 4]) -> Self {
        let mut octets = [0; 16];
        octets[10] = 0xff;
        octets[11] = 0xff;
        octets[12] = v4[0];
        octets[13] = v4[1];
        octets[14] = v4[2];
        octets[15] = v4[3];
        Self { octets }
    }

    /// Makes an address from sixteen bytes in network order.
    #[inline(always)]
    #[must_use]
    pub const fn from_v6(octets: [u8; 16]) -> Self {
        Self { octets }
    }

    /// The four bytes of a v4-mapped address, `None` for any other.
    #[inline(always)]
    #[must_use]
    pub fn to_v4(self) -> Option<[u8; 4]> {
        let [.., a, b, c, d] = self.octets;
        let mut index = 0;
        while index < V4_MAPPED_PREFIX.len() {
            if self.octets[index] != V4_MAPPED_PREFIX[index] {
                return None;
            }
            index += 1;
        }
        Some([a, b, c, d])
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
                || Self::V6(Ipv6Addr::from(address.octets)),
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
