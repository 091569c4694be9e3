//! What a step finds.

/// Something that matters to whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing yet.
    None,
    /// A header block is complete; its fields are in [`super::Hpack::block`] (in [`super::Mode::FramesOnly`] they say nothing).
    Headers {
        /// The stream.
        stream: u32,
        /// Whether nothing follows.
        ends_stream: bool,
    },
    /// A DATA frame has begun.
    Data {
        /// The stream.
        stream: u32,
        /// Its payload without padding.
        bytes: u32,
        /// Whether nothing follows.
        ends_stream: bool,
    },
    /// `RST_STREAM`.
    Reset {
        /// The stream.
        stream: u32,
        /// The error code.
        code: u32,
    },
    /// `GOAWAY`.
    GoAway {
        /// The last stream that the sender may have acted on.
        last_stream: u32,
    },
    /// Headers are not known from here on: [`super::Mode::FramesOnly`]; those of the block in question say nothing.
    HeadersLost {
        /// The stream whose block ends in this frame, which has no further [`Event::Headers`]; zero: no block does.
        stream: u32,
        /// Whether nothing follows on that stream.
        ends_stream: bool,
    },
    /// Frames are not known from here on: [`super::Mode::Desync`], or [`super::Mode::Opaque`] before any frame.
    Lost,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes it passed, at least one.
    pub consumed: u32,
    /// What it found.
    pub event: Event,
}
