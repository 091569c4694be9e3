//! What holders of streams take from them.

use super::Connection;
use crate::http2::cut::Cut;
use crate::http2::frame::kind;
use bytes::Bytes;
use http::{HeaderMap, response};
use std::task::{Context, Poll};

/// What a peer sends after its headers.
#[derive(Debug)]
pub enum Piece {
    /// Some of the body, never empty. It counts against the peer's window until it is released.
    Data(Bytes),
    /// The trailers, which are the end.
    Trailers(HeaderMap),
    /// The end, without trailers.
    End,
}

impl Connection {
    /// The head of the answer, and a holder more of the stream. Not to be asked again after it.
    ///
    /// # Errors
    /// How the stream ended without one.
    pub fn poll_head(
        &mut self,
        place: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<response::Parts, Cut>> {
        let Some(stream) = self.streams.get_mut(place) else {
            return Poll::Ready(Err(Cut::Lost));
        };
        if let Some(head) = stream.head.take() {
            stream.holders += 1;
            return Poll::Ready(Ok(head));
        }
        if let Some(cut) = stream.cut {
            return Poll::Ready(Err(cut));
        }
        stream.wait(cx);
        Poll::Pending
    }

    /// The next piece of what the peer sends. Not to be asked again after the end.
    ///
    /// # Errors
    /// How it was cut short.
    pub fn poll_piece(&mut self, place: usize, cx: &Context<'_>) -> Poll<Result<Piece, Cut>> {
        let Some(stream) = self.streams.get_mut(place) else {
            return Poll::Ready(Err(Cut::Lost));
        };
        if !stream.data.is_empty() {
            return Poll::Ready(Ok(Piece::Data(stream.data.take())));
        }
        if stream.is_received {
            let trailers = stream.trailers.take();
            return Poll::Ready(Ok(trailers.map_or(Piece::End, Piece::Trailers)));
        }
        if let Some(cut) = stream.cut {
            return Poll::Ready(Err(cut));
        }
        stream.wait(cx);
        Poll::Pending
    }

    /// Whether the peer has ended its half without trailers and every piece was taken.
    #[must_use]
    pub fn is_taken(&self, place: usize) -> bool {
        let stream = self.streams.get(place);
        stream.is_none_or(|stream| {
            stream.is_received && stream.data.is_empty() && stream.trailers.is_none()
        })
    }

    /// Lets the peer send so many bytes more: they were passed on.
    pub fn release(&mut self, place: usize, bytes: usize) {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(stream) = self.streams.get_mut(place)
            && !stream.is_received
            && stream.cut.is_none()
            && let Some(increment) = stream.receive_window.release(count)
        {
            let id = stream.id;
            self.write_frame(kind::WINDOW_UPDATE, 0, id, &increment.to_be_bytes());
        }
        self.release_window(bytes);
    }
}
