//! Hashes that every agent computes alike, so that a key goes to the same endpoint from every node.

use crate::model::Draws;
use std::net::{IpAddr, SocketAddr};

/// The hash of what `RingHash` goes by: a header's values or the caller's address. FNV-1a, mixed.
#[must_use]
pub fn hash_key(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The hash of an endpoint.
pub(super) fn hash_address(address: SocketAddr) -> u64 {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => hash_key(&[&ip.octets()[..], &port].concat()),
        IpAddr::V6(ip) => hash_key(&[&ip.octets()[..], &port].concat()),
    }
}

/// How well a key and an endpoint go together.
pub(super) const fn affinity(key: u64, endpoint: u64) -> u64 {
    mix(key ^ endpoint)
}

const fn mix(value: u64) -> u64 {
    Draws::new(value).number()
}

#[cfg(test)]
mod tests {
    use super::{hash_address, hash_key};

    #[test]
    fn hashes_stay_what_they_are() {
        // Agents of different versions must agree. Computed apart from this code.
        assert_eq!(hash_key(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(hash_key(b"alice"), 0x1a04_6f57_3e1e_5475);
        let endpoint = "10.0.0.1:80".parse().unwrap();
        assert_eq!(hash_address(endpoint), 0xad60_4b20_ad54_4cd6);
    }
}
