//! How a stream ended before its time.

/// An error code of HTTP/2 (RFC 9113, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct ErrorCode(pub(in crate::proxy) u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub(in crate::proxy) const NO_ERROR: Self = Self(0);
    /// The mesh itself has failed.
    pub(in crate::proxy) const INTERNAL_ERROR: Self = Self(2);
    /// The stream was not looked at.
    pub(in crate::proxy) const REFUSED_STREAM: Self = Self(7);
    /// Nobody wants the answer any more.
    pub(in crate::proxy) const CANCEL: Self = Self(8);
    /// The peer asks for too much.
    pub(in crate::proxy) const ENHANCE_YOUR_CALM: Self = Self(11);

    pub(super) fn of(reason: h2::Reason) -> Self {
        Self(reason.into())
    }

    pub(super) fn reason(self) -> h2::Reason {
        self.0.into()
    }
}

/// How a stream ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Cut {
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

impl Cut {
    pub(super) fn of(error: &h2::Error) -> Self {
        let code = error.reason().map(ErrorCode::of);
        match code {
            Some(code) if error.is_reset() && error.is_remote() => Self::Reset(code),
            Some(code) if error.is_reset() => Self::Faulty(code),
            // `h2` gives the peer's GOAWAY to the streams above its last id only.
            Some(_) if error.is_go_away() && error.is_remote() => Self::Unprocessed,
            _ => Self::Lost,
        }
    }
}
