//! The mesh's kernel programs, one file per hook.
//!
//! A hook gathers facts through [`ctx`] and [`maps`], asks [`mesh_common`] for a verdict and acts on it. Nearly all
//! unsafe code stands in `ctx.rs` and `maps.rs`.
//!
//! | program | hook | oldest kernel |
//! |---|---|---|
//! | `connect4`, `connect6` | `cgroup/connect4`, `cgroup/connect6` | 6.1 |
//! | `getpeername4`, `getpeername6` | `cgroup/getpeername4`, `cgroup/getpeername6` | 5.8 |
//! | `connection` | `sockops` | 5.11 |
//! | `release` | `cgroup/sock_release` | 5.9 |
//! | `meter_egress`, `meter_ingress` | `cgroup_skb` | 5.17 |
//!
//! The object as a whole has been seen to load on 6.1 and 6.18, and to attach and count right on 6.18.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics, asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        internal_features,
        reason = "no stable atomic addition exists for this target"
    )
)]

mod connect;
mod connection;
mod ctx;
mod maps;
mod meter;
mod peer_name;
mod release;
mod source;
mod tally;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Some helpers (`bpf_probe_read_kernel`) are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
