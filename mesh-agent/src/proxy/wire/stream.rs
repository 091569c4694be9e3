//! The two halves of a stream.

use super::half::Half;
use super::{Cut, ErrorCode, Piece};
use bytes::Bytes;
use http::HeaderMap;
use std::task::{Context, Poll};

/// The half that a peer sends.
#[derive(Debug)]
pub(in crate::proxy) struct Receiver {
    half: Half,
}

impl Receiver {
    pub(super) const fn new(half: Half) -> Self {
        Self { half }
    }

    /// The next piece. Not to be asked again after the end.
    pub(in crate::proxy) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Piece, Cut>> {
        self.half
            .with(|connection, place| connection.poll_piece(place, cx))
    }

    /// Whether the peer has ended it without trailers and every piece was taken.
    pub(in crate::proxy) fn is_ended(&self) -> bool {
        self.half
            .with(|connection, place| connection.is_taken(place))
    }

    /// Lets the peer send so many bytes more: they were passed on.
    pub(in crate::proxy) fn release(&mut self, bytes: usize) {
        self.half
            .with(|connection, place| connection.release(place, bytes));
    }
}

/// The half that the proxy sends.
#[derive(Debug)]
pub(in crate::proxy) struct Sender {
    half: Half,
}

impl Sender {
    pub(super) const fn new(half: Half) -> Self {
        Self { half }
    }

    /// Sends as much of `data` as there is room for, takes it off its front, and says how much it was: never nothing, unless
    /// `data` is empty. `is_last`: the end follows `data`.
    pub(in crate::proxy) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
        is_last: bool,
    ) -> Poll<Result<usize, Cut>> {
        self.half
            .with(|connection, place| connection.poll_send(place, cx, data, is_last))
    }

    /// Sends all of a short piece, as soon as the peer's window has room for it.
    pub(in crate::proxy) fn send_more(&mut self, data: &[u8]) -> Result<(), Cut> {
        self.half
            .with(|connection, place| connection.send_whole(place, data, false))
    }

    /// Sends all of a short body, which is the end.
    pub(in crate::proxy) fn send_last(&mut self, data: &[u8]) -> Result<(), Cut> {
        self.half
            .with(|connection, place| connection.send_whole(place, data, true))
    }

    /// Ends it, with trailers if there are any.
    pub(in crate::proxy) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Cut> {
        self.half
            .with(|connection, place| connection.finish_stream(place, trailers))
    }

    /// Ends the whole stream at once.
    pub(in crate::proxy) fn reset(&mut self, code: ErrorCode) {
        self.half
            .with(|connection, place| connection.reset(place, code));
    }

    /// Waits until the peer resets the stream or the connection is lost.
    pub(in crate::proxy) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.half
            .with(|connection, place| connection.poll_cut(place, cx))
    }
}
