//! One connection: what has come, what is to be sent, and the streams on it.
//!
//! ```text
//!  socket ─▶ receive ─▶ frames ─▶ blocks ─▶ streams ─▶ whoever holds a stream   (wakes it)
//!  socket ◀─ output ◀──────────── sending ◀─────────── whoever holds a stream   (wakes the writer)
//! ```

mod blocks;
mod ending;
mod frames;
mod receiving;
mod sending;

pub use receiving::Piece;
pub use sending::Unsent;

use super::budget::Budget;
use super::cut::ErrorCode;
use super::flow::{ReceiveWindow, SendWindow, WINDOW_AT_FIRST};
use super::frame::{FrameHead, PAYLOAD_BYTES_LEAST, PREFACE, flag, kind, setting};
use super::hpack::{Decoder, Encoder};
use super::limits::WireLimits;
use super::output::Output;
use super::stream::Streams;
use blocks::Block;
use bytes::BufMut;
use ending::{EarlyResets, Leaving, Resets};
use http::request;
use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Instant;

/// Bytes of the table that the peer compresses with (RFC 9113, 6.5.2: what holds without a setting).
const TABLE_BYTES: usize = 4_096;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// What the peer has announced.
#[derive(Clone, Copy, Debug)]
struct PeerSettings {
    initial_window: u32,
    frame_bytes_max: usize,
    streams_max: Option<u32>,
}

/// A connection without its socket.
///
/// Streams are named by a place, from [`Connection::next_request`] or [`Connection::open`] until as many
/// [`Connection::release_stream`] as there were holders.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: WireLimits,
    decoder: Decoder,
    encoder: Encoder,
    output: Output,
    streams: Streams,
    incoming: VecDeque<(usize, request::Parts)>,
    /// Whoever writes to the socket, while it waits for something to write.
    writer: Option<Waker>,
    /// Bytes of the client's preface that have not come.
    preface_left: usize,
    has_settings: bool,
    block: Option<Block>,
    peer: PeerSettings,
    receive_window: ReceiveWindow,
    send_window: SendWindow,
    /// Places of streams that wait for room of the connection.
    queued: VecDeque<usize>,
    /// The highest stream that the client has opened.
    stream_last: u32,
    resets: Resets,
    early_resets: EarlyResets,
    /// SETTINGS that the peer has not acknowledged.
    settings_unconfirmed: u32,
    budget: Budget,
    /// Something was sent since the last PING.
    has_answered: bool,
    /// DATA frames without data in a row.
    empty_frames: u32,
    /// Streams that were reset for their peer's errors.
    faults: usize,
    leaving: Leaving,
    /// The last stream that the peer's GOAWAY lets live.
    peer_last: Option<u32>,
    is_pinged_too_often: bool,
    is_pinging: bool,
    /// Nobody opens streams any more.
    is_abandoned: bool,
    /// Nothing more is read.
    is_ended: bool,
}

impl Connection {
    /// The end of a connection that a client has made.
    #[must_use]
    pub fn server(limits: WireLimits, now: Instant) -> Self {
        let mut connection = Self::new(Role::Server, limits, limits.caller_window_bytes, now);
        connection.preface_left = PREFACE.len();
        connection.write_settings(&[
            (setting::MAX_CONCURRENT_STREAMS, limits.streams_max),
            (setting::INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
            (setting::MAX_HEADER_LIST_SIZE, limits.header_list_bytes_max),
        ]);
        connection.write_window(limits.caller_window_bytes);
        connection
    }

    /// The end of a connection to a server.
    #[must_use]
    pub fn client(limits: WireLimits, now: Instant) -> Self {
        let mut connection = Self::new(Role::Client, limits, limits.endpoint_window_bytes, now);
        connection.output.tail().put_slice(PREFACE);
        connection.write_settings(&[
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, limits.stream_window_bytes),
            (setting::MAX_FRAME_SIZE, limits.endpoint_frame_bytes_max),
            (setting::MAX_HEADER_LIST_SIZE, limits.header_list_bytes_max),
        ]);
        connection.write_window(limits.endpoint_window_bytes);
        connection
    }

    fn new(role: Role, limits: WireLimits, window_bytes: u32, now: Instant) -> Self {
        Self {
            role,
            limits,
            decoder: Decoder::new(TABLE_BYTES),
            encoder: Encoder::new(),
            output: Output::default(),
            streams: Streams::default(),
            incoming: VecDeque::new(),
            writer: None,
            preface_left: 0,
            has_settings: false,
            block: None,
            peer: PeerSettings {
                initial_window: WINDOW_AT_FIRST,
                frame_bytes_max: PAYLOAD_BYTES_LEAST,
                streams_max: None,
            },
            receive_window: ReceiveWindow::new(window_bytes.max(WINDOW_AT_FIRST)),
            send_window: SendWindow::new(WINDOW_AT_FIRST),
            queued: VecDeque::new(),
            stream_last: 0,
            resets: Resets::default(),
            early_resets: EarlyResets::default(),
            // Those of the start.
            settings_unconfirmed: 1,
            budget: Budget::new(limits, now),
            has_answered: false,
            empty_frames: 0,
            faults: 0,
            leaving: Leaving::No,
            peer_last: None,
            is_pinged_too_often: false,
            is_pinging: false,
            is_abandoned: false,
            is_ended: false,
        }
    }

    fn write_settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::with_capacity(settings.len() * 6);
        for (name, value) in settings {
            payload.put_u16(*name);
            payload.put_u32(*value);
        }
        self.write_frame(kind::SETTINGS, 0, 0, &payload);
    }

    /// Makes the connection's window what is wished, by what it is more than at first.
    fn write_window(&mut self, bytes: u32) {
        if let Some(increment) = bytes.checked_sub(WINDOW_AT_FIRST).filter(|more| *more > 0) {
            self.write_frame(kind::WINDOW_UPDATE, 0, 0, &increment.to_be_bytes());
        }
    }

    fn write_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let head = FrameHead {
            length: payload.len(),
            kind,
            flags,
            stream,
        };
        self.output.frame(head, payload);
        self.wake_writer();
    }

    fn write_reset(&mut self, stream: u32, code: ErrorCode) {
        self.resets.remember(stream);
        self.write_frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// What is to go to the socket; [`Connection::flushed`] follows when some of it has.
    pub const fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Some of the output has gone: who waited for room may send.
    pub fn flushed(&mut self) {
        if self.output.len() < self.limits.send_buffer_bytes_max {
            self.wake_queued();
        }
    }

    /// Has the task of `cx` woken when there is something to write or the connection is over.
    pub fn wait_for_output(&mut self, cx: &Context<'_>) {
        match &mut self.writer {
            Some(writer) => writer.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Whoever writes to the socket is at it: nobody needs to wake it.
    pub fn is_written_to(&mut self) {
        self.writer = None;
    }

    /// Whether the peer is not to be read from until it takes some of the output.
    #[must_use]
    pub fn is_choked(&self) -> bool {
        self.output.len() > self.limits.output_bytes_max
    }

    /// How many streams the peer lets be open at once.
    #[must_use]
    pub fn streams_max(&self) -> usize {
        let most = self.peer.streams_max.map(usize::try_from);
        let most = most.and_then(Result::ok).unwrap_or(usize::MAX);
        self.early_resets.leave_of(most)
    }

    /// Whether the peer has said what it takes: the connection has begun.
    #[must_use]
    pub const fn has_peer_settings(&self) -> bool {
        self.has_settings
    }

    /// Streams that are neither ended nor reset.
    #[must_use]
    pub const fn open_streams(&self) -> usize {
        self.streams.open
    }

    /// Takes the next request: its stream's place, and its head. Its stream has two holders then.
    pub fn next_request(&mut self) -> Option<(usize, request::Parts)> {
        let next = self.incoming.pop_front()?;
        if let Some(stream) = self.streams.get_mut(next.0) {
            stream.is_incoming = false;
            stream.holders = 2;
        }
        Some(next)
    }

    fn wake_queued(&mut self) {
        for place in std::mem::take(&mut self.queued) {
            if let Some(stream) = self.streams.get_mut(place) {
                stream.is_queued = false;
                stream.wake();
                self.send_rest(place);
            }
        }
    }

    /// One holder more of a stream.
    pub fn hold_stream(&mut self, place: usize) {
        if let Some(stream) = self.streams.get_mut(place) {
            stream.holders += 1;
        }
    }

    /// One holder less. A stream that nobody holds is not wanted: it is reset unless it has ended.
    pub fn release_stream(&mut self, place: usize) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        stream.holders = stream.holders.saturating_sub(1);
        if stream.holders > 0 || stream.rest.is_some() {
            return;
        }
        if !stream.is_closed() {
            let code = if self.role == Role::Server && stream.is_sent {
                ErrorCode::NO_ERROR
            } else {
                ErrorCode::CANCEL
            };
            self.reset(place, code);
        }
        self.settle(place);
    }

    /// Does what follows when a stream's state has changed.
    fn settle(&mut self, place: usize) {
        let Some(stream) = self.streams.get_mut(place) else {
            return;
        };
        if !stream.is_closed() {
            return;
        }
        let is_awaited = stream.holders > 0 || stream.is_incoming;
        let unread = stream.data.len();
        if std::mem::replace(&mut stream.is_counted, false) {
            self.streams.open -= 1;
            if self.is_over() {
                self.wake_writer();
            }
        }
        if !is_awaited {
            self.release_window(unread);
            self.streams.remove(place);
        }
    }

    fn release_window(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(increment) = self.receive_window.release(bytes) {
            self.write_frame(kind::WINDOW_UPDATE, 0, 0, &increment.to_be_bytes());
        }
    }
}

/// The flags of a frame that may be the last of its half.
const fn end_flag(is_end: bool) -> u8 {
    if is_end { flag::END_STREAM } else { 0 }
}
