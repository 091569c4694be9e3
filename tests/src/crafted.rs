//! Packets by hand, given to a pinned program of the kernel without any network (`BPF_PROG_TEST_RUN`).
//!
//! The kernel makes a socket for each run, which all repetitions of the run share (`bpf_prog_test_run_skb`).

use crate::bpf::{bpf, open_pin, version_in_force};
use crate::error::{Context, Result};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// `enum bpf_cmd` in `linux/bpf.h`.
const PROG_TEST_RUN: libc::c_long = 10;

/// The member `test` of `union bpf_attr`.
#[repr(C)]
#[derive(Debug, Default)]
struct RunAttribute {
    program: u32,
    verdict: u32,
    bytes_in: u32,
    bytes_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_in_bytes: u32,
    context_out_bytes: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

/// A program of the mesh.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// Opens the pin of an agent's program.
    ///
    /// # Errors
    /// If there is none.
    pub fn pinned(bpffs: &Path, name: &str) -> Result<Self> {
        let version = version_in_force(bpffs)?;
        let path = version.join("programs").join(name);
        open_pin(&path)
            .map(Self)
            .context(|| format!("open pin {}", path.display()))
    }

    /// Runs it so often on one packet of one socket; gives its verdict and the packet from the IP header on as it is then.
    ///
    /// # Errors
    /// If the kernel does not take the packet.
    pub fn run(&self, packet: &[u8], times: u32) -> Result<(u32, Vec<u8>)> {
        let mut after = vec![0; packet.len() + 256];
        let mut attribute = RunAttribute {
            program: u32::try_from(self.0.as_raw_fd()).expect("open"),
            bytes_in: u32::try_from(packet.len()).expect("a packet"),
            bytes_out: u32::try_from(after.len()).expect("a packet"),
            data_in: packet.as_ptr() as u64,
            data_out: after.as_mut_ptr() as u64,
            repeat: times,
            ..RunAttribute::default()
        };
        bpf(PROG_TEST_RUN, &mut attribute).context(|| "run a program on a packet")?;
        after.truncate(attribute.bytes_out as usize);
        // The kernel hands a cgroup's programs no Ethernet header, and gives zeros back for it.
        Ok((attribute.verdict, after.split_off(ETHERNET)))
    }
}

/// A TCP segment as it stands behind an Ethernet header.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The sender.
    pub from: SocketAddr,
    /// The receiver; of the same family.
    pub to: SocketAddr,
    /// The number of the first byte.
    pub sequence: u32,
    /// Words of options in the IPv4 header, at most ten.
    pub ip_options: u8,
    /// Words of options in the TCP header, at most ten.
    pub tcp_options: u8,
    /// Whether an extension header stands in front of TCP (IPv6).
    pub is_extended: bool,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Segment {
    /// A segment without options.
    #[must_use]
    pub fn new(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Self {
        Self {
            from,
            to,
            sequence: 1_000,
            ip_options: 0,
            tcp_options: 0,
            is_extended: false,
            payload: payload.to_vec(),
        }
    }

    /// Its bytes.
    ///
    /// # Panics
    /// If it is longer than a packet can be.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        const ACK_PSH: u8 = 0x18;
        const NO_OPERATION: u8 = 1;
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(2_000_u32.to_be_bytes());
        tcp.extend([(5 + self.tcp_options) << 4, ACK_PSH, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(vec![NO_OPERATION; 4 * usize::from(self.tcp_options)]);
        tcp.extend(&self.payload);
        let mut packet = vec![0; 12];
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let words = 5 + self.ip_options;
                let length = 4 * usize::from(words) + tcp.len();
                packet.extend([0x08, 0, 0x40 | words, 0]);
                packet.extend(u16::try_from(length).expect("a packet").to_be_bytes());
                packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
                packet.extend(from.octets());
                packet.extend(to.octets());
                packet.extend(vec![NO_OPERATION; 4 * usize::from(self.ip_options)]);
            }
            (from, to) => {
                let octets = |address: IpAddr| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                let extension: &[u8] = if self.is_extended {
                    // Destination options (RFC 8200 section 4.6): TCP behind, and six bytes of padding.
                    &[6, 0, 1, 4, 0, 0, 0, 0]
                } else {
                    &[]
                };
                let length = u16::try_from(extension.len() + tcp.len()).expect("a packet");
                packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                packet.extend(length.to_be_bytes());
                packet.extend([if self.is_extended { 60 } else { 6 }, 64]);
                packet.extend(octets(from));
                packet.extend(octets(to));
                packet.extend(extension);
            }
        }
        packet.extend(tcp);
        packet
    }
}
