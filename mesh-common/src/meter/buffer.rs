//! The bytes that a step looks at.

/// Bytes a [`Buffer`] holds.
pub const BUFFER_BYTES: usize = 64;

/// Some bytes of a stream, and room for eight more, so that eight can be read from wherever one can.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
pub struct Buffer {
    /// In the order of the stream.
    pub words: [u64; BUFFER_BYTES / 8 + 1],
}

impl Buffer {
    /// Holds zeros.
    pub const EMPTY: Self = Self {
        words: [0; BUFFER_BYTES / 8 + 1],
    };

    /// The byte at `at`, modulo the size.
    #[inline(always)]
    #[must_use]
    pub fn byte(&self, at: u32) -> u8 {
        let bytes = (&raw const self.words).cast::<u8>();
        // SAFETY: less than the size.
        let byte = unsafe { bytes.add(at as usize & (BUFFER_BYTES - 1)) };
        // SAFETY: a byte of the buffer.
        unsafe { byte.read() }
    }

    /// The eight bytes from `at`, modulo the size, as a little-endian number.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, at: u32) -> u64 {
        let bytes = (&raw const self.words).cast::<u8>();
        // SAFETY: less than the size.
        let word = unsafe { bytes.add(at as usize & (BUFFER_BYTES - 1)) };
        // SAFETY: the buffer ends eight bytes behind its size.
        unsafe { load_word(word) }
    }
}

/// Reads eight bytes, wherever they stand.
///
/// The compiler knows no unaligned loads for the kernel's machine and would take eight loads and seven shifts; the kernel
/// allows them in its maps on every machine that has them (`HAVE_EFFICIENT_UNALIGNED_ACCESS`: x86-64, arm64).
///
/// # Safety
///
/// There must be eight bytes.
#[inline(always)]
#[cfg(target_arch = "bpf")]
unsafe fn load_word(from: *const u8) -> u64 {
    let value: u64;
    // SAFETY: promised by the caller.
    unsafe {
        core::arch::asm!(
            "{value} = *(u64 *)({from} + 0)",
            value = lateout(reg) value,
            from = in(reg) from,
            options(nostack, readonly),
        );
    }
    u64::from_le(value)
}

#[inline(always)]
#[cfg(not(target_arch = "bpf"))]
unsafe fn load_word(from: *const u8) -> u64 {
    // SAFETY: promised by the caller.
    u64::from_le(unsafe { from.cast::<u64>().read_unaligned() })
}
