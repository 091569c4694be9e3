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
