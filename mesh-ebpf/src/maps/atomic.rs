//! Additions to words of maps that other CPUs add to at the same time.

/// Adds, whoever else adds at the same time.
///
/// # Safety
///
/// `to` must point to an aligned word of a map.
#[inline(always)]
pub(super) unsafe fn add(to: *mut u64, value: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: promised by the caller.
    let _before = unsafe {
        core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(
            to, value,
        )
    };
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: promised by the caller.
    unsafe { core::sync::atomic::AtomicU64::from_ptr(to) }
        .fetch_add(value, core::sync::atomic::Ordering::Relaxed);
}

/// Adds, whoever else adds at the same time; returns what was there before.
///
/// # Safety
///
/// `to` must point to an aligned word of a map.
#[inline(always)]
pub(super) unsafe fn fetch_add(to: *mut u64, value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut before = value;
        // By hand: it belongs to version 3 of the instruction set (kernel 5.12), of which this target's
        // compilers use nothing.
        // SAFETY: promised by the caller.
        unsafe {
            core::arch::asm!(
                "{value} = atomic_fetch_add((u64 *)({to} + 0), {value})",
                to = in(reg) to,
                value = inout(reg) before,
                options(nostack),
            );
        }
        before
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: promised by the caller.
    unsafe { core::sync::atomic::AtomicU64::from_ptr(to) }
        .fetch_add(value, core::sync::atomic::Ordering::Relaxed)
}
