//! What holders of streams send on them.

use super::{Connection, end_flag};
use crate::http2::cut::Cut;
use crate::http2::frame::{FrameHead, HEAD_BYTES, flag, kind};
use crate::http2::head::{Head, write_request, write_response, write_trailers};
use crate::http2::hpack::Encoder;
use crate::http2::stream::Stream;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, response};
use std::task::{Context, Poll};

/// Why a stream could not be opened; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// The connection takes no more streams.
    Closed,
    /// The request cannot be sent as it is.
    Malformed,
}

/// The number of the last stream of a connection (RFC 9113, 5.1.1).
const STREAM_LAST: u32 = (1 << 31) - 1;

impl Connection {
    /// Whether no more streams can be opened.
    #[must_use]
    pub const fn takes_no_more(&self) -> bool {
        self.is_ended || self.peer_last.is_some() || self.stream_last >= STREAM_LAST - 2
    }

    /// Opens a stream; `is_end`: the head is all of the request. It has two holders then.
    ///
    /// # Errors
    /// Why nothing was sent.
    pub fn open(&mut self, head: &Head<'_>, is_end: bool) -> Result<usize, Unsent> {
        if self.takes_no_more() {
            return Err(Unsent::Closed);
        }
        let id = if self.stream_last == 0 {
            1
        } else {
            self.stream_last + 2
        };
        self.stream_last = id;
        let mut stream = Stream::new(
            id,
            self.limits.stream_window_bytes,
            self.peer.initial_window,
        );
        stream.holders = 2;
        stream.is_head_only = *head.method == Method::HEAD;
        stream.head_at = self.output.position();
        stream.is_sent = is_end;
        let place = self.streams.insert(stream);
        self.write_block(id, is_end, |encoder, to| {
            write_request(encoder, head, to);
        });
        Ok(place)
    }

    /// Sends the head of an answer; `is_end`: it is all of it.
    ///
    /// # Errors
    /// If the stream is over.
    pub fn respond(
        &mut self,
        place: usize,
        head: &response::Parts,
        is_end: bool,
    ) -> Result<(), Cut> {
        let stream = self.sendable(place)?;
        stream.is_sent = is_end;
        let id = stream.id;
        self.write_block(id, is_end, |encoder, to| {
            write_response(encoder, (head.status, &head.headers), to);
        });
        self.settle(place);
        Ok(())
    }

    fn sendable(&mut self, place: usize) -> Result<&mut Stream, Cut> {
        let stream = self.streams.get_mut(place).ok_or(Cut::Lost)?;
        match stream.cut {
            Some(cut) => Err(cut),
            None if stream.is_sent => Err(Cut::Lost),
            None => Ok(stream),
        }
    }

    /// Writes a block in as many frames as the peer wants it to be.
    fn write_block(
        &mut self,
        stream: u32,
        is_end: bool,
        write: impl FnOnce(&mut Encoder, &mut BytesMut),
    ) {
        self.has_answered = true;
        let tail = self.output.tail();
        let start = tail.len();
        tail.extend_from_slice(&[0; HEAD_BYTES]);
        write(&mut self.encoder, tail);
        let length = tail.len() - start - HEAD_BYTES;
        let mut head = FrameHead {
            length,
            kind: kind::HEADERS,
            flags: flag::END_HEADERS | end_flag(is_end),
            stream,
        };
        let most = self.peer.frame_bytes_max;
        if length <= most {
            tail[start..start + HEAD_BYTES].copy_from_slice(&head.bytes());
            self.wake_writer();
            return;
        }
        let mut block = tail.split_off(start + HEAD_BYTES);
        tail.truncate(start);
        head.flags = end_flag(is_end);
        while !block.is_empty() {
            let piece = block.split_to(block.len().min(most));
            head.length = piece.len();
            if block.is_empty() {
                head.flags |= flag::END_HEADERS;
            }
            self.output.frame(head, &piece);
            head.kind = kind::CONTINUATION;
            head.flags = 0;
        }
        self.wake_writer();
    }

    /// Sends as much of `data` as there is room for, takes it off its front, and says how much it was: never nothing, unless
    /// `data` is empty. `is_last`: the end follows `data`.
    ///
    /// # Errors
    /// If the stream is over.
    pub fn poll_send(
        &mut self,
        place: usize,
        cx: &Context<'_>,
        data: &mut Bytes,
        is_last: bool,
    ) -> Poll<Result<usize, Cut>> {
        if let Err(cut) = self.sendable(place) {
            return Poll::Ready(Err(cut));
        }
        let sent = self.send_some(place, data, is_last);
        if sent > 0 || data.is_empty() {
            return Poll::Ready(Ok(sent));
        }
        self.queue(place);
        if let Some(stream) = self.streams.get_mut(place) {
            stream.wait(cx);
        }
        Poll::Pending
    }

    fn send_some(&mut self, place: usize, data: &mut Bytes, is_last: bool) -> usize {
        let most = self.peer.frame_bytes_max;
        let place_for = self
            .limits
            .send_buffer_bytes_max
            .saturating_sub(self.output.len());
        let Some(stream) = self.streams.get_mut(place) else {
            return 0;
        };
        let windows = stream.send_window.room().min(self.send_window.room());
        let mut room = windows.min(place_for).min(data.len());
        let sent = room;
        if room == 0 && !(data.is_empty() && is_last) {
            return 0;
        }
        let is_end = is_last && room == data.len();
        stream.send_window.take(sent);
        self.send_window.take(sent);
        stream.is_sent = is_end;
        let id = stream.id;
        self.has_answered = true;
        loop {
            let payload = data.split_to(room.min(most));
            room -= payload.len();
            let head = FrameHead {
                length: payload.len(),
                kind: kind::DATA,
                flags: end_flag(is_end && room == 0),
                stream: id,
            };
            self.output.shared_frame(head, payload);
            if room == 0 {
                break;
            }
        }
        self.wake_writer();
        if is_end {
            self.settle(place);
        }
        sent
    }

    /// Has a stream woken when the connection has room.
    fn queue(&mut self, place: usize) {
        if let Some(stream) = self.streams.get_mut(place)
            && !std::mem::replace(&mut stream.is_queued, true)
        {
            self.queued.push_back(place);
        }
    }

    /// Sends all of a short piece when there is room for it, whoever holds the stream by then. `is_last`: it is the end.
    ///
    /// # Errors
    /// If the stream is over.
    pub fn send_whole(&mut self, place: usize, data: &[u8], is_last: bool) -> Result<(), Cut> {
        let stream = self.sendable(place)?;
        let rest = stream.rest.get_or_insert_default();
        rest.data.extend_from_slice(data);
        if is_last {
            rest.is_last = true;
        }
        self.send_rest(place);
        Ok(())
    }

    /// Ends this half of a stream, with trailers if there are any.
    ///
    /// # Errors
    /// If the stream is over.
    pub fn finish_stream(&mut self, place: usize, trailers: Option<HeaderMap>) -> Result<(), Cut> {
        let stream = self.sendable(place)?;
        if let Some(rest) = &mut stream.rest {
            rest.trailers = trailers;
            rest.is_last = true;
            return Ok(());
        }
        self.write_end(place, trailers.as_ref());
        Ok(())
    }

    fn write_end(&mut self, place: usize, trailers: Option<&HeaderMap>) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        stream.is_sent = true;
        let id = stream.id;
        match trailers {
            Some(trailers) => self.write_block(id, true, |encoder, to| {
                write_trailers(encoder, trailers, to);
            }),
            None => self.write_frame(kind::DATA, flag::END_STREAM, id, &[]),
        }
        self.settle(place);
    }

    /// Sends what was left to the connection.
    pub(super) fn send_rest(&mut self, place: usize) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        let Some(mut rest) = stream.rest.take() else {
            return;
        };
        let mut data = rest.data.split().freeze();
        let is_end = rest.is_last && rest.trailers.is_none();
        self.send_some(place, &mut data, is_end);
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if !data.is_empty() {
            rest.data.extend_from_slice(&data);
            stream.rest = Some(rest);
            return self.queue(place);
        }
        let is_unheld = stream.holders == 0;
        if rest.is_last && !stream.is_sent {
            self.write_end(place, rest.trailers.as_ref());
        }
        if is_unheld {
            // It went on for its rest alone.
            self.release_stream(place);
        }
    }
}
