//! Header blocks: put together, decoded, and made heads or trailers of streams (RFC 9113, 4.3 and 8.1).

use super::frames::Handled;
use super::{Connection, Leaving, Role};
use crate::grpc::Code;
use crate::http2::cut::ErrorCode;
use crate::http2::frame::{FrameHead, flag, number31, unpadded};
use crate::http2::head::{Fields, Malformed, content_length};
use crate::http2::stream::Stream;
use bytes::BytesMut;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

/// A block in the making.
#[derive(Debug)]
pub(super) struct Block {
    begun: Begun,
    bytes: BytesMut,
    frames: u32,
}

/// What the HEADERS frame says of a block.
#[derive(Clone, Copy, Debug)]
struct Begun {
    stream: u32,
    is_end: bool,
    /// It is to depend on itself (RFC 7540, 5.3.1).
    is_circular: bool,
}

impl Block {
    pub(super) const fn stream(&self) -> u32 {
        self.begun.stream
    }
}

/// Frames that a block may be cut into.
const BLOCK_FRAMES_MAX: u32 = 256;

impl Connection {
    pub(super) fn headers(&mut self, head: FrameHead, payload: &[u8]) -> Handled {
        if head.stream == 0 {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        let inner = unpadded(head, payload).ok_or(ErrorCode::PROTOCOL_ERROR)?;
        let mut inner = &payload[inner];
        let mut is_circular = false;
        if head.has(flag::PRIORITY) {
            is_circular = number31(inner) == Some(head.stream);
            inner = inner.get(5..).ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
        }
        let begun = Begun {
            stream: head.stream,
            is_end: head.has(flag::END_STREAM),
            is_circular,
        };
        if head.has(flag::END_HEADERS) {
            return self.block(begun, inner);
        }
        self.block = Some(Block {
            begun,
            bytes: inner.into(),
            frames: 1,
        });
        Ok(())
    }

    pub(super) fn continuation(&mut self, head: FrameHead, payload: &[u8]) -> Handled {
        let mut block = self.block.take().ok_or(ErrorCode::PROTOCOL_ERROR)?;
        block.frames += 1;
        // A block decodes to more than it is: what is far above the bound is not even kept.
        let is_too_much = block.bytes.len() + payload.len() > self.limits.block_bytes_max;
        if is_too_much || block.frames > BLOCK_FRAMES_MAX {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            return self.block(block.begun, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A whole block. It is decoded whatever it is for: the table goes on.
    fn block(&mut self, begun: Begun, bytes: &[u8]) -> Handled {
        let mut fields = Fields::default();
        let most = usize::try_from(self.limits.header_list_bytes_max).unwrap_or(usize::MAX);
        let decoded = self
            .decoder
            .decode(bytes, |field, size| fields.take(field, size, most));
        decoded.map_err(|_| ErrorCode::COMPRESSION_ERROR)?;
        if let Some(place) = self.streams.place(begun.stream) {
            return self.block_of_stream(place, begun, fields);
        }
        if self.role == Role::Client || begun.stream <= self.stream_last {
            return self.is_late(begun.stream);
        }
        if begun.stream.is_multiple_of(2) {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        self.stream_last = begun.stream;
        self.request(begun, fields)
    }

    /// A request begins.
    fn request(&mut self, begun: Begun, fields: Fields) -> Handled {
        if self.leaving == Leaving::Final
            || self.streams.open >= usize::try_from(self.limits.streams_max).unwrap_or(usize::MAX)
        {
            // Not its fault: whoever wants it may send it elsewhere.
            self.write_reset(begun.stream, ErrorCode::REFUSED_STREAM);
            return Ok(());
        }
        if begun.is_circular {
            return self.refuse(begun.stream, ErrorCode::PROTOCOL_ERROR);
        }
        let mut stream = Stream::new(
            begun.stream,
            self.limits.stream_window_bytes,
            self.peer.initial_window,
        );
        stream.has_head = true;
        stream.is_received = begun.is_end;
        if fields.is_too_large {
            let is_grpc = is_grpc(&fields);
            let place = self.streams.insert(stream);
            self.refuse_large(place, is_grpc);
            return Ok(());
        }
        let head = fields.request().and_then(|head| {
            let length = content_length(&head.headers)?;
            // Without a body it has no length either (RFC 9113, 8.1.1).
            if begun.is_end && length.is_some_and(|length| length > 0) {
                return Err(Malformed);
            }
            Ok((head, length))
        });
        let Ok((head, length)) = head else {
            return self.refuse(begun.stream, ErrorCode::PROTOCOL_ERROR);
        };
        stream.content_left = length;
        stream.is_incoming = true;
        let place = self.streams.insert(stream);
        self.incoming.push_back((place, head));
        Ok(())
    }

    /// Answers a request whose head is larger than is taken: `RESOURCE_EXHAUSTED` for gRPC, else 431 (RFC 6585).
    fn refuse_large(&mut self, place: usize, is_grpc: bool) {
        let mut head = Response::new(()).into_parts().0;
        if is_grpc {
            let headers = &mut head.headers;
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(
                "grpc-status",
                HeaderValue::from(Code::ResourceExhausted as u16),
            );
            let message = "the request's headers are larger than the mesh takes";
            headers.insert("grpc-message", HeaderValue::from_static(message));
        } else {
            head.status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        }
        // A stream that was reset in the meantime needs no answer.
        self.respond(place, &head, true).ok();
        self.release_stream(place);
    }

    fn block_of_stream(&mut self, place: usize, begun: Begun, fields: Fields) -> Handled {
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        if let Some(cut) = stream.cut {
            return self.is_late_for(begun.stream, cut);
        }
        if stream.is_received {
            return Err(ErrorCode::STREAM_CLOSED);
        }
        if fields.is_too_large {
            return self.fail_stream(place, ErrorCode::ENHANCE_YOUR_CALM);
        }
        let taken = if begun.is_circular {
            Err(Malformed)
        } else if stream.has_head {
            take_trailers(stream, begun.is_end, fields)
        } else {
            take_response(stream, begun.is_end, fields)
        };
        if taken.is_err() {
            return self.fail_stream(place, ErrorCode::PROTOCOL_ERROR);
        }
        stream.wake();
        self.settle(place);
        Ok(())
    }
}

/// The head of a response; those before the last one say nothing to a proxy (RFC 9110, 15.2).
fn take_response(stream: &mut Stream, is_end: bool, fields: Fields) -> Result<(), Malformed> {
    let head = fields.response()?;
    if head.status.is_informational() {
        return if is_end { Err(Malformed) } else { Ok(()) };
    }
    let has_body = !stream.is_head_only
        && head.status != StatusCode::NO_CONTENT
        && head.status != StatusCode::NOT_MODIFIED;
    if has_body && !is_end {
        stream.content_left = content_length(&head.headers)?;
    }
    stream.has_head = true;
    stream.is_received = is_end;
    stream.head = Some(head);
    Ok(())
}

fn take_trailers(stream: &mut Stream, is_end: bool, fields: Fields) -> Result<(), Malformed> {
    let trailers = fields.trailers()?;
    if !is_end || stream.content_left.is_some_and(|left| left > 0) {
        return Err(Malformed);
    }
    stream.trailers = Some(trailers);
    stream.is_received = true;
    Ok(())
}

fn is_grpc(fields: &Fields) -> bool {
    let value = fields.headers().get(CONTENT_TYPE);
    value.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
