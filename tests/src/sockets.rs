//! The TCP connections of a network namespace, whoever has them.

use crate::error::{Context, Error, Result};
use crate::network::Pod;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_TIME_WAIT`, `TCP_LISTEN` and `TCP_NEW_SYN_RECV` of `net/tcp_states.h`: nobody's connections.
const NOT_CONNECTED: [u8; 3] = [6, 10, 12];

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
}

/// Connections with an end in a pod, both if they go from the pod to itself; not those that are over or yet to be made.
///
/// # Errors
/// If the kernel does not tell.
pub fn connections(pod: &Pod) -> Result<Vec<Connection>> {
    let mut all = Vec::new();
    for name in ["tcp", "tcp6"] {
        // As of the thread's namespace.
        let path = format!("/proc/thread-self/net/{name}");
        let text = pod.namespace().enter(|| fs::read_to_string(&path))?;
        let text = text.context(|| format!("read {path}"))?;
        for line in text.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let unreadable = || Error::Unreadable {
                from: path.clone(),
                answer: line.to_owned(),
            };
            let [_, local, peer, state, ..] = words[..] else {
                return Err(unreadable());
            };
            let state = u8::from_str_radix(state, 16).map_err(|_| unreadable())?;
            if NOT_CONNECTED.contains(&state) {
                continue;
            }
            all.push(Connection {
                local: parse(local).ok_or_else(unreadable)?,
                peer: parse(peer).ok_or_else(unreadable)?,
            });
        }
    }
    Ok(all)
}

/// `0100007F:3A98`: 32-bit words of the address as this machine has them in memory, and the port.
fn parse(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut octets = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    let address: IpAddr = match <[u8; 4]>::try_from(octets) {
        Ok(octets) => Ipv4Addr::from(octets).into(),
        Err(octets) => Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        for (text, address) in [
            ("0100007F:3A99", "127.0.0.1:15001"),
            ("0000000000000000FFFF00000200F40A:0050", "10.244.0.2:80"),
            ("00000000000000000000000001000000:3A99", "[::1]:15001"),
        ] {
            assert_eq!(parse(text), Some(address.parse().unwrap()), "{text}");
        }
        assert_eq!(parse("0100007F"), None);
    }
}
