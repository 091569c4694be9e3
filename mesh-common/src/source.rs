//! Who connects: source ids and how the kernel finds them.
//!
//! Pods: `WORKLOAD_ADDRESSES` (the socket's local address, known once the SYN is built) or
//! `NETNS_SOURCES` (the network namespace cookie), both written by the agent. The host's own
//! processes: `HOST_SOURCES`, written by the kernel at first sight, so that even the first connection is
//! counted under its own name; the agent resolves (cgroup, command) to a systemd unit or a process name.

use crate::wire::record;

/// A source nobody could name.
pub const SOURCE_UNKNOWN: u32 = 0;

/// A process of the host for which `HOST_SOURCES` had no room.
pub const SOURCE_HOST_OTHER: u32 = HOST_SOURCE_BASE;

/// Ids from here on are processes of the host, given out by the kernel: base + 1, base + 2, …
pub const HOST_SOURCE_BASE: u32 = 0x8000_0000;

/// The id that belongs to the `taken`-th number of `HOST_SOURCE_NXT`, counted from zero; `None`: none are left.
///
/// Each connect of a process that finds `HOST_SOURCES` full takes a number, and ids must never run over into those of
/// the agent: hence the check.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "checked to be small")]
pub const fn host_source(taken: u64) -> Option<u32> {
    if taken < (u32::MAX - HOST_SOURCE_BASE) as u64 {
        Some(HOST_SOURCE_BASE + 1 + taken as u32)
    } else {
        None
    }
}

record! {
    /// A process of the host namespace, as the kernel can name it.
    #[derive(Hash)]
    pub struct HostSourceKey, size 24 {
        /// Id of the process's cgroup (v2).
        pub cgroup: u64,
        /// The command name (`comm`), NUL-padded.
        pub command: [u8; 16],
    }
}

#[cfg(test)]
mod tests {
    use super::{HOST_SOURCE_BASE, SOURCE_HOST_OTHER, host_source};
    use proptest::prelude::proptest;

    proptest! {
        #[test]
        fn ids_of_host_processes_never_meet_those_of_the_agent(taken: u64) {
            if let Some(id) = host_source(taken) {
                assert!(id > HOST_SOURCE_BASE);
                assert_ne!(id, SOURCE_HOST_OTHER);
            }
        }
    }

    #[test]
    fn numbers_run_out_instead_of_running_over() {
        assert_eq!(host_source(0), Some(HOST_SOURCE_BASE + 1));
        assert_eq!(host_source(0x7fff_fffe), Some(u32::MAX));
        assert_eq!(host_source(0x7fff_ffff), None);
        assert_eq!(host_source(u64::MAX), None);
    }
}
