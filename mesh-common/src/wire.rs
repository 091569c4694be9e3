//! How a record that crosses the kernel border is declared.

/// Declares a record: `repr(C)`, zerocopy derives (which refuse padding), a size literal, and
/// `aya::Pod` for userspace.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, size $size:literal {
            $($(#[$field_meta:meta])* $visibility:vis $field:ident : $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        pub struct $name {
            $($(#[$field_meta])* $visibility $field: $type,)*
        }

        const _: () = assert!(size_of::<$name>() == $size);

        #[cfg(feature = "user")]
        // SAFETY: the type is `repr(C)`, `Copy`, has no padding (`IntoBytes`) and is valid for
        // every bit pattern (`FromBytes`).
        unsafe impl aya::Pod for $name {}
    };
}

pub(crate) use record;

/// Copies a record word by word; as a whole it would go through the stack of a kernel program.
#[inline(always)]
pub fn copy_words<T: zerocopy::FromBytes + zerocopy::IntoBytes>(to: &mut T, from: &T) {
    const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() == 8) };
    let to = (&raw mut *to).cast::<u64>();
    let from = (&raw const *from).cast::<u64>();
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: a word of the record.
        let value = unsafe { from.wrapping_add(word).read_volatile() };
        // SAFETY: a word of the record, which any bits are.
        unsafe { to.wrapping_add(word).write_volatile(value) };
    }
}
