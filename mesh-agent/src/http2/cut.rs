//! How a stream ended before its time.

/// An error code of HTTP/2 (RFC 9113, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// Something that is not allowed at all.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// The mesh itself has failed.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// The stream was not looked at.
    pub const REFUSED_STREAM: Self = Self(7);
    /// A peer has sent more than its window.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// A frame for a stream that has ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame of a wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Nobody wants the answer any more.
    pub const CANCEL: Self = Self(8);
    /// A header block that cannot be decoded.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The peer asks for too much.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
}

/// How a stream ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The peer reset it.
    Reset(ErrorCode),
    /// The peer broke the protocol on it.
    Faulty(ErrorCode),
    /// It was never sent.
    Unsent,
    /// The endpoint's GOAWAY says that it never looked at it.
    Unprocessed,
    /// The connection is gone.
    Lost,
}
