//! How much of a direction the meter understands.

/// How much of a direction the meter understands. It only ever falls, but for a fresh start as [`Mode::Partial`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Mode {
    /// Everything, from the connection's first byte.
    Full = 0,
    /// Everything but references to what was inserted before the meter looked.
    Partial = 1,
    /// Streams begin and end; their headers are not known.
    FramesOnly = 2,
    /// Where frames begin is not known; looking for it.
    Desync = 3,
    /// Not HTTP/2, or encrypted.
    Opaque = 4,
}

impl Mode {
    /// Number of modes.
    pub const COUNT: usize = 5;

    /// Every mode with its label, in order of its number.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Full, "full"),
        (Self::Partial, "partial"),
        (Self::FramesOnly, "frames_only"),
        (Self::Desync, "desync"),
        (Self::Opaque, "opaque"),
    ];
}
