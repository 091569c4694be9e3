//! Frames as they come (RFC 9113, 6).

use super::ending::{LEAVING_PING, Leaving, TOO_MANY_PINGS};
use super::{Connection, Role};
use crate::http2::cut::{Cut, ErrorCode};
use crate::http2::flow::WINDOW_MAX;
use crate::http2::frame::{
    FrameHead, HEAD_BYTES, PAYLOAD_BYTES_LEAST, PREFACE, flag, kind, number31, setting, unpadded,
};
use bytes::{Buf, Bytes, BytesMut};
use std::time::Instant;

/// Payloads from here on stay in the memory that they were read into; that of shorter ones is not worth being kept for them.
const SHARED_BYTES_MIN: usize = 16 << 10;

/// DATA frames without data that a peer may send in a row.
const EMPTY_FRAMES_MAX: u32 = 1_000;

/// What is wrong ends the connection with this code.
pub(super) type Handled = Result<(), ErrorCode>;

impl Connection {
    /// Takes the frames that `input` begins with, and leaves what is not complete.
    pub fn receive(&mut self, input: &mut BytesMut, now: Instant) {
        while !self.is_ended {
            if self.preface_left > 0 {
                if input.is_empty() {
                    return;
                }
                self.take_preface(input);
                continue;
            }
            let Some(head) = FrameHead::read(input) else {
                return;
            };
            if head.length > self.frame_bytes_max() {
                self.end(ErrorCode::FRAME_SIZE_ERROR);
                break;
            }
            if input.len() < HEAD_BYTES + head.length {
                return;
            }
            if let Err(code) = self.take_frame(head, input, now) {
                self.end(code);
            }
        }
        input.clear();
    }

    /// Payload bytes of the largest frame that the peer was told it may send.
    fn frame_bytes_max(&self) -> usize {
        match self.role {
            Role::Server => PAYLOAD_BYTES_LEAST,
            Role::Client => {
                usize::try_from(self.limits.endpoint_frame_bytes_max).unwrap_or(PAYLOAD_BYTES_LEAST)
            }
        }
    }

    fn take_preface(&mut self, input: &mut BytesMut) {
        let count = self.preface_left.min(input.len());
        let expected = &PREFACE[PREFACE.len() - self.preface_left..][..count];
        if input[..count] != *expected {
            return self.end(ErrorCode::PROTOCOL_ERROR);
        }
        input.advance(count);
        self.preface_left -= count;
    }

    fn take_frame(&mut self, head: FrameHead, input: &mut BytesMut, now: Instant) -> Handled {
        self.check_order(head)?;
        if head.kind == kind::DATA {
            return self.data(head, input);
        }
        let all = HEAD_BYTES + head.length;
        let payload = &input[HEAD_BYTES..all];
        let handled = match head.kind {
            kind::HEADERS => self.headers(head, payload),
            kind::CONTINUATION => self.continuation(head, payload),
            kind::WINDOW_UPDATE => self.window_update(head, payload),
            kind::RST_STREAM => self.reset_by_peer(head, payload, now),
            kind::SETTINGS => self.settings(head, payload, now),
            kind::PING => self.pinged(head, payload, now),
            kind::GO_AWAY => self.go_away(head, payload),
            kind::PRIORITY => priority(head, payload),
            // The proxy takes no pushes, and clients must not send any.
            kind::PUSH_PROMISE => Err(ErrorCode::PROTOCOL_ERROR),
            // RFC 9113, 5.5.
            _ => Ok(()),
        };
        input.advance(all);
        handled
    }

    /// SETTINGS come first, and nothing comes between the pieces of a block.
    fn check_order(&self, head: FrameHead) -> Handled {
        if !self.has_settings && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        let is_in_order = match &self.block {
            Some(block) => head.kind == kind::CONTINUATION && head.stream == block.stream(),
            None => head.kind != kind::CONTINUATION,
        };
        is_in_order.then_some(()).ok_or(ErrorCode::PROTOCOL_ERROR)
    }

    /// Whether nobody has opened a stream of that number yet.
    pub(super) const fn is_idle(&self, stream: u32) -> bool {
        // Only clients open streams.
        stream > self.stream_last || stream.is_multiple_of(2)
    }

    /// A frame that a stream which is no more should not have got.
    pub(super) fn is_late(&self, stream: u32) -> Handled {
        if self.is_idle(stream) {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        if self.resets.may_have(stream) {
            return Ok(());
        }
        Err(ErrorCode::STREAM_CLOSED)
    }

    /// The same of a stream that is still held: who has reset it must not go on with it.
    pub(super) fn is_late_for(&self, stream: u32, cut: Cut) -> Handled {
        match cut {
            Cut::Reset(_) => self.is_late(stream),
            Cut::Faulty(_) | Cut::Unsent | Cut::Unprocessed | Cut::Lost => Ok(()),
        }
    }

    fn data(&mut self, head: FrameHead, input: &mut BytesMut) -> Handled {
        let payload = &input[HEAD_BYTES..HEAD_BYTES + head.length];
        let length = u32::try_from(head.length).unwrap_or(u32::MAX);
        let body = unpadded(head, payload).ok_or(ErrorCode::PROTOCOL_ERROR)?;
        if head.stream == 0 {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        if !self.receive_window.take(length) {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        let is_last = head.has(flag::END_STREAM);
        self.count_empty(body.is_empty() && !is_last)?;
        let (start, end) = (HEAD_BYTES + body.start, HEAD_BYTES + body.end);
        let data = if body.len() >= SHARED_BYTES_MIN {
            input.advance(start);
            let data = input.split_to(body.len()).freeze();
            input.advance(HEAD_BYTES + head.length - end);
            data
        } else {
            let data = Bytes::copy_from_slice(&input[start..end]);
            input.advance(HEAD_BYTES + head.length);
            data
        };
        self.take_data(head, data, is_last)
    }

    fn count_empty(&mut self, is_empty: bool) -> Handled {
        self.empty_frames = if is_empty { self.empty_frames + 1 } else { 0 };
        if self.empty_frames > EMPTY_FRAMES_MAX {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        Ok(())
    }

    fn take_data(&mut self, head: FrameHead, data: Bytes, is_last: bool) -> Handled {
        let Some(place) = self.streams.place(head.stream) else {
            self.release_window(head.length);
            return self.is_late(head.stream);
        };
        let is_client = self.role == Role::Client;
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        let length = u32::try_from(head.length).unwrap_or(u32::MAX);
        let wrong = if let Some(cut) = stream.cut {
            self.release_window(head.length);
            return self.is_late_for(head.stream, cut);
        } else if stream.is_received {
            // A stream error would do; nobody else does it twice.
            return Err(ErrorCode::STREAM_CLOSED);
        } else if is_client && !stream.has_head {
            Some(ErrorCode::PROTOCOL_ERROR)
        } else if !stream.receive_window.take(length) {
            Some(ErrorCode::FLOW_CONTROL_ERROR)
        } else if !stream.takes_content(data.len(), is_last) {
            Some(ErrorCode::PROTOCOL_ERROR)
        } else {
            None
        };
        if let Some(code) = wrong {
            self.release_window(head.length);
            return self.fail_stream(place, code);
        }
        let padding = head.length - data.len();
        if !data.is_empty() {
            stream.data.push(data);
        }
        stream.is_received = is_last;
        stream.wake();
        if padding > 0 {
            self.release(place, padding);
        }
        if is_last {
            self.settle(place);
        }
        Ok(())
    }

    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Handled {
        if payload.len() != 4 {
            return Err(ErrorCode::FRAME_SIZE_ERROR);
        }
        let increment = number31(payload).map_or(0, i64::from);
        if head.stream == 0 {
            if increment == 0 {
                return Err(ErrorCode::PROTOCOL_ERROR);
            }
            if !self.send_window.add(increment) {
                return Err(ErrorCode::FLOW_CONTROL_ERROR);
            }
            self.wake_queued();
            return Ok(());
        }
        let Some(place) = self.streams.place(head.stream) else {
            // It may have been sent before its sender knew that the stream had ended.
            let is_idle = self.is_idle(head.stream);
            return (!is_idle).then_some(()).ok_or(ErrorCode::PROTOCOL_ERROR);
        };
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        if increment == 0 {
            return self.fail_stream(place, ErrorCode::PROTOCOL_ERROR);
        }
        if !stream.send_window.add(increment) {
            return self.fail_stream(place, ErrorCode::FLOW_CONTROL_ERROR);
        }
        if !stream.is_sent {
            stream.wake();
        }
        self.send_rest(place);
        Ok(())
    }

    fn reset_by_peer(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Handled {
        let code: [u8; 4] = payload
            .try_into()
            .map_err(|_| ErrorCode::FRAME_SIZE_ERROR)?;
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        if self.role == Role::Server && !self.budget.allows_reset(now) {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        let Some(place) = self.streams.place(head.stream) else {
            return Ok(());
        };
        if let Some(stream) = self.streams.get_mut(place)
            && !stream.is_closed()
        {
            stream.cut = Some(Cut::Reset(ErrorCode(u32::from_be_bytes(code))));
            stream.rest = None;
            stream.wake();
            self.settle(place);
        }
        Ok(())
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Handled {
        if head.stream != 0 {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        let is_acknowledged = head.has(flag::ACK);
        if !payload.len().is_multiple_of(6) || (is_acknowledged && !payload.is_empty()) {
            return Err(ErrorCode::FRAME_SIZE_ERROR);
        }
        if is_acknowledged {
            self.settings_confirmed();
            return Ok(());
        }
        if self.role == Role::Server && !self.budget.allows_settings(now) {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        self.has_settings = true;
        for each in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([each[0], each[1]]);
            let value = u32::from_be_bytes([each[2], each[3], each[4], each[5]]);
            self.apply_setting(name, value)?;
        }
        self.write_frame(kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(())
    }

    fn apply_setting(&mut self, name: u16, value: u32) -> Handled {
        match name {
            setting::HEADER_TABLE_SIZE => self.encoder.set_table_bytes_max(value),
            setting::ENABLE_PUSH if value > 1 => return Err(ErrorCode::PROTOCOL_ERROR),
            setting::MAX_CONCURRENT_STREAMS => self.peer.streams_max = Some(value),
            setting::INITIAL_WINDOW_SIZE => return self.resize_windows(value),
            setting::MAX_FRAME_SIZE => {
                let bytes = usize::try_from(value).unwrap_or(usize::MAX);
                if !(PAYLOAD_BYTES_LEAST..1 << 24).contains(&bytes) {
                    return Err(ErrorCode::PROTOCOL_ERROR);
                }
                self.peer.frame_bytes_max = bytes;
            }
            _ => {}
        }
        Ok(())
    }

    /// Moves the windows of all streams (RFC 9113, 6.9.2).
    fn resize_windows(&mut self, size: u32) -> Handled {
        if i64::from(size) > WINDOW_MAX {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        let change = i64::from(size) - i64::from(self.peer.initial_window);
        self.peer.initial_window = size;
        let mut places = vec![];
        for (place, stream) in self.streams.iter_placed() {
            if !stream.send_window.add(change) {
                return Err(ErrorCode::FLOW_CONTROL_ERROR);
            }
            stream.wake();
            places.push(place);
        }
        for place in places {
            self.send_rest(place);
        }
        Ok(())
    }

    fn pinged(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Handled {
        if head.stream != 0 {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        if payload.len() != 8 {
            return Err(ErrorCode::FRAME_SIZE_ERROR);
        }
        if head.has(flag::ACK) {
            if self.leaving == Leaving::Announced && *payload == LEAVING_PING {
                self.leave();
            } else {
                self.is_pinging = false;
            }
            return Ok(());
        }
        let has_answered = std::mem::replace(&mut self.has_answered, false);
        if self.role == Role::Server && !self.budget.allows_ping(now, has_answered) {
            self.end_saying(ErrorCode::ENHANCE_YOUR_CALM, TOO_MANY_PINGS);
            return Ok(());
        }
        self.write_frame(kind::PING, flag::ACK, 0, payload);
        Ok(())
    }

    fn go_away(&mut self, head: FrameHead, payload: &[u8]) -> Handled {
        if head.stream != 0 {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        let last = number31(payload).filter(|_| payload.len() >= 8);
        let last = last.ok_or(ErrorCode::FRAME_SIZE_ERROR)?;
        self.peer_leaves(last, &payload[8..]);
        Ok(())
    }
}

/// Priorities are not followed, but checked.
fn priority(head: FrameHead, payload: &[u8]) -> Handled {
    if payload.len() != 5 {
        return Err(ErrorCode::FRAME_SIZE_ERROR);
    }
    if head.stream == 0 || number31(payload) == Some(head.stream) {
        return Err(ErrorCode::PROTOCOL_ERROR);
    }
    Ok(())
}
