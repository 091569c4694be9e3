//! Fields of kernel objects, each read and written by the one instruction that the verifier expects.
//!
//! Compilers merge ordinary loads, volatile ones included: two branches that each end in a load become one load
//! from an address computed before, which the verifier refuses. So the instructions are spelt out.

#[cfg(target_arch = "bpf")]
use core::arch::asm;

/// Reads the `u32` at byte `OFFSET` of a kernel object.
///
/// # Safety
///
/// There must be such a field in the object behind `base`.
#[inline(always)]
#[cfg(target_arch = "bpf")]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the load clears the upper half"
)]
pub(super) unsafe fn load_word<const OFFSET: usize, T>(base: *const T) -> u32 {
    let value: u64;
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "{value} = *(u32 *)({base} + {offset})",
            value = lateout(reg) value,
            base = in(reg) base,
            offset = const OFFSET,
            options(nostack, readonly),
        );
    }
    value as u32
}

/// Reads the `u64` at byte `OFFSET` of a kernel object.
///
/// # Safety
///
/// There must be such a field in the object behind `base`.
#[inline(always)]
#[cfg(target_arch = "bpf")]
pub(super) unsafe fn load_long<const OFFSET: usize, T>(base: *const T) -> u64 {
    let value: u64;
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "{value} = *(u64 *)({base} + {offset})",
            value = lateout(reg) value,
            base = in(reg) base,
            offset = const OFFSET,
            options(nostack, readonly),
        );
    }
    value
}

/// Reads the pointer at byte `OFFSET` of a kernel object.
///
/// # Safety
///
/// There must be such a field in the object behind `base`.
#[inline(always)]
#[cfg(target_arch = "bpf")]
pub(super) unsafe fn load_pointer<const OFFSET: usize, T, U>(base: *const T) -> *mut U {
    let value: *mut U;
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "{value} = *(u64 *)({base} + {offset})",
            value = lateout(reg) value,
            base = in(reg) base,
            offset = const OFFSET,
            options(nostack, readonly),
        );
    }
    value
}

/// Reads the pointer into a packet that the `u32` at byte `OFFSET` of a context stands for: the verifier makes it a pointer of
/// the full width.
///
/// # Safety
///
/// There must be such a field in the context behind `base`.
#[inline(always)]
#[cfg(target_arch = "bpf")]
pub(super) unsafe fn load_packet_pointer<const OFFSET: usize, T>(base: *const T) -> *const u8 {
    let value: *const u8;
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "{value} = *(u32 *)({base} + {offset})",
            value = lateout(reg) value,
            base = in(reg) base,
            offset = const OFFSET,
            options(nostack, readonly),
        );
    }
    value
}

/// Writes the `u32` at byte `OFFSET` of a kernel object.
///
/// # Safety
///
/// There must be such a field, open to writing, in the object behind `base`.
#[inline(always)]
#[cfg(target_arch = "bpf")]
pub(super) unsafe fn store_word<const OFFSET: usize, T>(base: *mut T, value: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        asm!(
            "*(u32 *)({base} + {offset}) = {value}",
            value = in(reg) u64::from(value),
            base = in(reg) base,
            offset = const OFFSET,
            options(nostack),
        );
    }
}

#[cfg(not(target_arch = "bpf"))]
pub(super) use self::host::{load_long, load_packet_pointer, load_pointer, load_word, store_word};

/// The crate compiles for the host too, so that it is linted with everything else; nothing of this runs there.
#[cfg(not(target_arch = "bpf"))]
mod host {
    const fn field<T, U>(base: *const T, offset: usize) -> *mut U {
        base.cast::<u8>().wrapping_add(offset).cast_mut().cast()
    }

    pub(in crate::ctx) unsafe fn load_word<const OFFSET: usize, T>(base: *const T) -> u32 {
        // SAFETY: promised by the caller.
        unsafe { field::<T, u32>(base, OFFSET).read() }
    }

    pub(in crate::ctx) unsafe fn load_long<const OFFSET: usize, T>(base: *const T) -> u64 {
        // SAFETY: promised by the caller.
        unsafe { field::<T, u64>(base, OFFSET).read() }
    }

    pub(in crate::ctx) unsafe fn load_pointer<const OFFSET: usize, T, U>(base: *const T) -> *mut U {
        // SAFETY: promised by the caller.
        unsafe { field::<T, *mut U>(base, OFFSET).read() }
    }

    pub(in crate::ctx) unsafe fn load_packet_pointer<const OFFSET: usize, T>(
        base: *const T,
    ) -> *const u8 {
        // SAFETY: promised by the caller.
        let address = unsafe { field::<T, u32>(base, OFFSET).read() };
        core::ptr::without_provenance(address as usize)
    }

    pub(in crate::ctx) unsafe fn store_word<const OFFSET: usize, T>(base: *mut T, value: u32) {
        // SAFETY: promised by the caller.
        unsafe { field::<T, u32>(base, OFFSET).write(value) }
    }
}
