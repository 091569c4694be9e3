//! Addresses: always 16 bytes, IPv4 as v4-mapped IPv6 (RFC 4291 section 2.5.5.2).

use crate::wire::record;

record! {
    /// An IP address in network order, IPv4 v4-mapped.
    ///
    /// Aligned to 4, so that the kernel programs copy and compare words, not bytes.
    #[derive(Hash, PartialOrd, Ord)]
    #[repr(align(4))]
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

    /// Makes an address from four words, each as it stands in memory (the form of the kernel's contexts).
    #[inline(always)]
    #[must_use]
    pub const fn from_words(words: [u32; 4]) -> Self {
        let [a, b, c, d] = [
            words[0].to_ne_bytes(),
            words[1].to_ne_bytes(),
            words[2].to_ne_bytes(),
            words[3].to_ne_bytes(),
        ];
        Self {
            octets: [
                a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1],
                d[2], d[3],
            ],
        }
    }

    /// The address as four words, each as it stands in memory.
    #[inline(always)]
    #[must_use]
    pub const fn to_words(self) -> [u32; 4] {
        let o = self.octets;
        [
            u32::from_ne_bytes([o[0], o[1], o[2], o[3]]),
            u32::from_ne_bytes([o[4], o[5], o[6], o[7]]),
            u32::from_ne_bytes([o[8], o[9], o[10], o[11]]),
            u32::from_ne_bytes([o[12], o[13], o[14], o[15]]),
        ]
    }

    /// Whether this is `::` or, v4-mapped, `0.0.0.0`: the local address of an unbound socket.
    #[inline(always)]
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        let words = self.to_words();
        words == Self::UNSPECIFIED.to_words() || words == Self::from_v4([0; 4]).to_words()
    }

    /// The four bytes of a v4-mapped address, `None` for any other.
    #[inline(always)]
    #[must_use]
    pub fn to_v4(self) -> Option<[u8; 4]> {
        let words = self.to_words();
        let mapped = Self::from_v4([0; 4]).to_words();
        if words[0] == mapped[0] && words[1] == mapped[1] && words[2] == mapped[2] {
            Some(words[3].to_ne_bytes())
        } else {
            None
        }
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
