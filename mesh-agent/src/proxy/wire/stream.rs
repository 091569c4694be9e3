//! The two halves of a stream.

use super::{Cut, ErrorCode};
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use std::task::{Context, Poll, ready};

/// What a peer sends after its headers.
#[derive(Debug)]
pub(in crate::proxy) enum Piece {
    /// Some of the body, never empty. It counts against the peer's window until it is released.
    Data(Bytes),
    /// The trailers, which are the end.
    Trailers(HeaderMap),
    /// The end, without trailers.
    End,
}

/// The half that a peer sends.
#[derive(Debug)]
pub(in crate::proxy) struct Receiver {
    stream: RecvStream,
}

impl Receiver {
    pub(super) const fn new(stream: RecvStream) -> Self {
        Self { stream }
    }

    /// The next piece. Not to be asked again after the end.
    pub(in crate::proxy) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Piece, Cut>> {
        loop {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => return Poll::Ready(Ok(Piece::Data(data))),
                Some(Err(error)) => return Poll::Ready(Err(Cut::of(&error))),
                None => break,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(match trailers {
            Ok(Some(trailers)) => Ok(Piece::Trailers(trailers)),
            Ok(None) => Ok(Piece::End),
            Err(error) => Err(Cut::of(&error)),
        })
    }

    /// Whether the peer has ended it and every piece was taken.
    pub(in crate::proxy) fn is_ended(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// Lets the peer send so many bytes more: they were passed on.
    pub(in crate::proxy) fn release(&mut self, bytes: usize) {
        // It fails only if more is released than was received, or the stream is gone: nobody waits for it then.
        self.stream.flow_control().release_capacity(bytes).ok();
    }
}

/// The half that the proxy sends.
#[derive(Debug)]
pub(in crate::proxy) struct Sender {
    stream: SendStream<Bytes>,
}

impl Sender {
    pub(super) const fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream }
    }

    /// Sends as much of `data` as the peer's window has room for, takes it off its front, and says how much it was: never
    /// nothing, unless `data` is empty. `is_last`: the end follows `data`.
    pub(in crate::proxy) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
        is_last: bool,
    ) -> Poll<Result<usize, Cut>> {
        self.stream.reserve_capacity(data.len());
        let mut room = self.stream.capacity();
        while room == 0 {
            room = match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Poll::Ready(Err(Cut::of(&error))),
                None => return Poll::Ready(Err(self.why_closed(cx))),
            };
        }
        let part = data.split_to(room.min(data.len()));
        let sent = part.len();
        let result = self.stream.send_data(part, is_last && data.is_empty());
        Poll::Ready(result.map(|()| sent).map_err(|error| Cut::of(&error)))
    }

    /// Sends all of a short piece, whether the peer's window has room for it or not.
    pub(in crate::proxy) fn send_more(&mut self, data: Bytes) -> Result<(), Cut> {
        let sent = self.stream.send_data(data, false);
        sent.map_err(|error| Cut::of(&error))
    }

    /// Sends all of a short body at once, which is the end.
    pub(in crate::proxy) fn send_last(&mut self, data: Bytes) -> Result<(), Cut> {
        let sent = self.stream.send_data(data, true);
        sent.map_err(|error| Cut::of(&error))
    }

    /// Ends it, with trailers if there are any.
    pub(in crate::proxy) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Cut> {
        let result = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        result.map_err(|error| Cut::of(&error))
    }

    /// Ends the whole stream at once.
    pub(in crate::proxy) fn reset(&mut self, code: ErrorCode) {
        self.stream.send_reset(code.reason());
    }

    /// Waits until the peer resets the stream or the connection is lost.
    pub(in crate::proxy) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.stream.poll_reset(cx).map(cut_of_reset)
    }

    fn why_closed(&mut self, cx: &mut Context<'_>) -> Cut {
        match self.poll_cut(cx) {
            Poll::Ready(cut) => cut,
            Poll::Pending => Cut::Lost,
        }
    }
}

/// What `poll_reset` says.
pub(super) fn cut_of_reset(result: Result<h2::Reason, h2::Error>) -> Cut {
    match result {
        Ok(reason) => Cut::Reset(ErrorCode::of(reason)),
        Err(error) => Cut::of(&error),
    }
}
