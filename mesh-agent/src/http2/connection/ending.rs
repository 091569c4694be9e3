//! How streams and connections end.

use super::{Connection, Role};
use crate::http2::cut::{Cut, ErrorCode};
use crate::http2::frame::kind;
use crate::http2::stream::Stream;
use std::collections::VecDeque;

/// How far a server is on its way out (RFC 9113, 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// A GOAWAY was sent that takes every stream, and a PING after it.
    Announced,
    /// The peer has seen it: what comes now is refused.
    Final,
}

/// What the PING between the two GOAWAYs carries.
pub(super) const LEAVING_PING: [u8; 8] = *b"mesh-bye";

/// What other PINGs carry.
const PING: [u8; 8] = *b"meshping";

/// What a GOAWAY says to who PINGs too often (gRFC A8).
pub(super) const TOO_MANY_PINGS: &[u8] = b"too_many_pings";

/// The highest number of a stream.
const STREAM_MAX: u32 = (1 << 31) - 1;

/// Streams that were reset from here: what their peer had sent before it knew is passed over.
#[derive(Debug, Default)]
pub(super) struct Resets {
    latest: VecDeque<u32>,
    /// The highest one that is not remembered by itself.
    forgotten: u32,
}

/// Streams that are remembered one by one.
const RESETS_MAX: usize = 512;

impl Resets {
    pub(super) fn remember(&mut self, stream: u32) {
        if self.latest.len() == RESETS_MAX {
            let oldest = self.latest.pop_front().unwrap_or(0);
            self.forgotten = self.forgotten.max(oldest);
        }
        self.latest.push_back(stream);
    }

    pub(super) fn may_have(&self, stream: u32) -> bool {
        stream <= self.forgotten || self.latest.contains(&stream)
    }
}

/// Streams that are reset before anything of their answer has come, until the peer has shown that it has read so far. Servers
/// end a connection with many streams that were reset before they looked at them (20 for `h2`), as a defence against
/// CVE-2023-44487; what is reset here comes from many callers.
const EARLY_RESETS_MAX: u32 = 8;

/// Resets that may wait for it before no more streams are opened.
const WAITING_RESETS_MAX: usize = 1_024;

/// Resets that their peer might take for a flood.
#[derive(Debug, Default)]
pub(super) struct EarlyResets {
    /// Sent since the peer was last known to have read everything.
    sent: u32,
    waiting: VecDeque<(u32, ErrorCode)>,
    /// SETTINGS were sent whose acknowledgement shows it.
    is_asked: bool,
}

impl EarlyResets {
    /// How many of `most` streams may be open: the peer takes those for open whose reset waits.
    pub(super) fn leave_of(&self, most: usize) -> usize {
        if self.waiting.len() < WAITING_RESETS_MAX {
            most.saturating_sub(self.waiting.len())
        } else {
            0
        }
    }
}

impl Connection {
    /// Resets a stream of which the peer may not have seen anything yet.
    fn write_early_reset(&mut self, stream: u32, code: ErrorCode) {
        self.resets.remember(stream);
        self.early_resets.waiting.push_back((stream, code));
        self.write_early_resets();
    }

    /// Sends what may be sent of them.
    fn write_early_resets(&mut self) {
        while self.early_resets.sent < EARLY_RESETS_MAX
            && let Some((stream, code)) = self.early_resets.waiting.pop_front()
        {
            self.early_resets.sent += 1;
            self.write_frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
        }
        if self.early_resets.sent >= EARLY_RESETS_MAX && !self.early_resets.is_asked {
            self.early_resets.is_asked = true;
            self.settings_unconfirmed += 1;
            self.write_frame(kind::SETTINGS, 0, 0, &[]);
        }
    }

    /// The peer has acknowledged SETTINGS.
    pub(super) fn settings_confirmed(&mut self) {
        self.settings_unconfirmed = self.settings_unconfirmed.saturating_sub(1);
        if self.settings_unconfirmed > 0 || !self.early_resets.is_asked {
            return;
        }
        self.early_resets.is_asked = false;
        self.early_resets.sent = 0;
        self.write_early_resets();
    }

    /// Asks the caller to go elsewhere: one GOAWAY now that takes every stream, a second one after a round trip, and the end when
    /// no stream is left (RFC 9113, 6.8).
    pub fn finish(&mut self) {
        if self.leaving != Leaving::No || self.is_ended {
            return;
        }
        self.leaving = Leaving::Announced;
        self.write_go_away(STREAM_MAX, ErrorCode::NO_ERROR, b"");
        self.write_frame(kind::PING, 0, 0, &LEAVING_PING);
    }

    /// The peer has seen the first GOAWAY.
    pub(super) fn leave(&mut self) {
        self.leaving = Leaving::Final;
        self.write_go_away(self.stream_last, ErrorCode::NO_ERROR, b"");
    }

    /// Ends the connection and every stream of it.
    pub fn end(&mut self, code: ErrorCode) {
        self.end_saying(code, b"");
    }

    /// The same with a word for people and, of PINGs, for clients (gRFC A8).
    pub(super) fn end_saying(&mut self, code: ErrorCode, debug: &[u8]) {
        if !self.is_ended {
            let last = match self.role {
                Role::Server => self.stream_last,
                // The peer has opened none.
                Role::Client => 0,
            };
            self.write_go_away(last, code, debug);
            self.lost();
        }
    }

    /// Nothing more comes.
    pub fn lost(&mut self) {
        self.is_ended = true;
        let (role, output, peer_last) = (self.role, &self.output, self.peer_last);
        for stream in self.streams.iter_mut() {
            if !stream.is_closed() {
                stream.cut = Some(cut_of_lost(
                    role,
                    stream,
                    output.has_sent(stream.head_at),
                    peer_last,
                ));
            }
            stream.rest = None;
            stream.is_counted = false;
            stream.wake();
        }
        self.streams.open = 0;
        self.incoming.clear();
        self.streams.retain_held();
        self.wake_writer();
    }

    fn write_go_away(&mut self, last: u32, code: ErrorCode, debug: &[u8]) {
        let mut payload = Vec::with_capacity(8 + debug.len());
        payload.extend(last.to_be_bytes());
        payload.extend(code.0.to_be_bytes());
        payload.extend(debug);
        self.write_frame(kind::GO_AWAY, 0, 0, &payload);
    }

    /// The peer lets no stream live after this one.
    pub(super) fn peer_leaves(&mut self, last: u32, debug: &[u8]) {
        self.peer_last = Some(last);
        self.is_pinged_too_often |= debug.starts_with(TOO_MANY_PINGS);
        if self.role == Role::Client {
            let mut cut = vec![];
            for (place, stream) in self.streams.iter_placed() {
                if stream.id > last && !stream.is_closed() {
                    stream.cut = Some(Cut::Unprocessed);
                    stream.wake();
                    cut.push(place);
                }
            }
            for place in cut {
                self.settle(place);
            }
        }
        self.wake_writer();
    }

    /// Nobody opens streams any more: the connection ends with its last one.
    pub fn abandon(&mut self) {
        self.is_abandoned = true;
        self.wake_writer();
    }

    /// Whether nothing is left to be done but to send the output. Says so to the peer.
    pub fn is_finished(&mut self) -> bool {
        if !self.is_ended && self.is_over() {
            // A server has said it already.
            if self.role == Role::Client {
                self.write_go_away(0, ErrorCode::NO_ERROR, b"");
            }
            self.is_ended = true;
        }
        self.is_ended
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_over(&self) -> bool {
        let is_leaving = match self.role {
            Role::Server => self.leaving == Leaving::Final || self.peer_last.is_some(),
            Role::Client => self.is_abandoned || self.peer_last.is_some(),
        };
        self.is_ended || (is_leaving && self.streams.open == 0 && self.incoming.is_empty())
    }

    /// Whether the peer has sent a GOAWAY.
    #[must_use]
    pub const fn is_peer_leaving(&self) -> bool {
        self.peer_last.is_some()
    }

    /// Whether the peer has complained of too many PINGs (gRFC A8).
    #[must_use]
    pub const fn is_pinged_too_often(&self) -> bool {
        self.is_pinged_too_often
    }

    /// Sends a PING, unless one is on its way.
    pub fn ping(&mut self) {
        if !std::mem::replace(&mut self.is_pinging, true) {
            self.write_frame(kind::PING, 0, 0, &PING);
        }
    }

    /// Ends a whole stream at once.
    pub fn reset(&mut self, place: usize, code: ErrorCode) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if stream.is_closed() {
            return;
        }
        stream.cut = Some(Cut::Reset(code));
        stream.rest = None;
        let (id, is_answered) = (stream.id, stream.has_head);
        if is_answered {
            self.write_reset(id, code);
        } else {
            self.write_early_reset(id, code);
        }
        self.settle(place);
    }

    /// Ends a stream for its peer's error. Too many of them end the connection (CVE-2025-8671).
    pub(super) fn fail_stream(&mut self, place: usize, code: ErrorCode) -> Result<(), ErrorCode> {
        let Some(stream) = self.streams.get_mut(place) else {
            return Ok(());
        };
        let id = stream.id;
        stream.rest = None;
        if stream.cut.is_none() {
            stream.cut = Some(Cut::Faulty(code));
            stream.wake();
        }
        self.settle(place);
        self.refuse(id, code)
    }

    /// The same for a stream that nobody knows of.
    pub(super) fn refuse(&mut self, stream: u32, code: ErrorCode) -> Result<(), ErrorCode> {
        self.write_reset(stream, code);
        self.faults += 1;
        if self.faults > self.limits.faults_max {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        Ok(())
    }

    /// Whether the peer has reset a stream, or its connection is lost.
    #[must_use]
    pub fn is_cut(&self, place: usize) -> bool {
        let stream = self.streams.get(place);
        stream.is_none_or(|stream| stream.cut.is_some())
    }

    /// Waits until the peer resets a stream or its connection is lost.
    pub fn poll_cut(&mut self, place: usize, cx: &std::task::Context<'_>) -> std::task::Poll<Cut> {
        let Some(stream) = self.streams.get_mut(place) else {
            return std::task::Poll::Ready(Cut::Lost);
        };
        if let Some(cut) = stream.cut {
            return std::task::Poll::Ready(cut);
        }
        stream.wait(cx);
        std::task::Poll::Pending
    }
}

/// What a lost connection is for a stream: only a server can have looked at it, and only if it was sent.
fn cut_of_lost(role: Role, stream: &Stream, is_sent: bool, peer_last: Option<u32>) -> Cut {
    if role == Role::Server {
        return Cut::Lost;
    }
    if !is_sent {
        return Cut::Unsent;
    }
    if peer_last.is_some_and(|last| stream.id > last) {
        return Cut::Unprocessed;
    }
    Cut::Lost
}
