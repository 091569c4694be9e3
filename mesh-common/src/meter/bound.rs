//! Bounds that the kernel's verifier can follow.

/// `value` modulo a power of two, in an instruction that the compiler cannot reason away: the verifier has to see it.
#[inline(always)]
#[must_use]
pub fn bound<const MASK: u32>(value: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let mut bounded = u64::from(value);
        // SAFETY: changes nothing but the register.
        unsafe {
            core::arch::asm!(
                "{value} &= {mask}",
                value = inout(reg) bounded,
                mask = const MASK,
                options(nomem, nostack, preserves_flags),
            );
        }
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        {
            bounded as u32
        }
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value & MASK
    }
}

/// Zero, but the compiler does not know: it would set neighbouring fields by a loop over their bytes, in a function of its own.
#[inline(always)]
#[must_use]
pub fn zero() -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let zero: u64;
        // SAFETY: sets the register.
        unsafe {
            core::arch::asm!(
                "{zero} = 0",
                zero = out(reg) zero,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        zero
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        0
    }
}

/// [`zero`] in 32 bits.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "zero")]
pub fn zero32() -> u32 {
    zero() as u32
}
