//! The contract between the kernel programs and the agent.
//!
//! Everything that crosses the kernel border is declared here, once: records
//! ([`address`], [`table`], [`affinity`], [`capture`], [`socket`], [`source`], [`connection`]), counters
//! ([`counter`]), program and map names ([`names`]) and the pure decisions
//! ([`decide`], [`ending`]) that the hooks carry out; [`meter`] reads HTTP/2. Records are `repr(C)`, free of
//! padding by proof and sized by a literal; enums are decoded, never trusted.
//!
//! The crate is `no_std`, so that the same code runs in the kernel and in tests on the host.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![forbid(unsafe_op_in_unsafe_fn)]

#[cfg(feature = "user")]
extern crate std;

pub mod wire;

pub mod address;
pub mod affinity;
pub mod capture;
pub mod connection;
pub mod counter;
pub mod decide;
pub mod ending;
pub mod histogram;
pub mod meter;
pub mod names;
pub mod socket;
pub mod source;
pub mod table;

/// Version of every record in this crate; the directory of the pins is named after it.
///
/// Raised whenever a record or a map changes its layout or meaning.
pub const ABI_VERSION: u32 = 3;

/// `SO_MARK` of every socket the agent opens itself: the kernel programs leave such sockets alone.
///
/// Setting a mark needs `CAP_NET_ADMIN`, so an application cannot step out of the mesh with it by accident.
pub const AGENT_SOCKET_MARK: u32 = 0x6d65_7368;
