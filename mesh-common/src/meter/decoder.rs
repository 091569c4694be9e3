//! HTTP/2 frames (RFC 9113 section 4 and 6), one step at a time.

use super::buffer::Buffer;
use super::event::{Event, Step};
use super::frame::{HEAD_BYTES, Head, PREFACE_WORDS, flag, frame_type};
use super::hpack::Hpack;
use super::mode::Mode;
use crate::wire::record;

record! {
    /// One direction of a connection. All zeros: before the first byte of a server.
    pub struct Decoder, size 1432 {
        /// The direction's header compression.
        pub hpack: Hpack,
        /// The first eight bytes of a frame's head, or a small payload, that came in pieces.
        collected: u64,
        collected_bytes: u32,
        /// A [`Mode`] as integer.
        pub mode: u32,
        phase: u32,
        /// Bytes of the frame's payload that have not been passed, padding included.
        left: u32,
        padding: u32,
        kind: u32,
        flags: u32,
        stream: u32,
        /// The stream whose block is open; zero: none.
        block_stream: u32,
        /// Whether that block ends its stream.
        block_ends_stream: u32,
        /// Frames so far.
        pub frames: u64,
    }
}

/// Bytes of a stream's dependency and weight (RFC 9113 section 6.2).
const PRIORITY_BYTES: u32 = 5;

mod phase {
    pub(super) const HEAD: u32 = 0;
    pub(super) const PREFACE: u32 = 1;
    pub(super) const PAD_LENGTH: u32 = 2;
    pub(super) const PRIORITY: u32 = 3;
    pub(super) const BLOCK: u32 = 4;
    pub(super) const SKIP: u32 = 5;
    pub(super) const CODE: u32 = 6;
}

impl Decoder {
    /// Begins with a client's first byte: the preface is expected.
    #[inline(always)]
    pub fn begin_client(&mut self) {
        self.phase = phase::PREFACE;
    }

    /// Begins at the head of some frame, with nothing known of before.
    #[inline(always)]
    pub fn begin_anywhere(&mut self) {
        self.hpack.forget();
        self.mode = Mode::Partial as u32;
        self.phase = phase::HEAD;
        self.collected_bytes = 0;
        self.collected = 0;
        self.block_stream = 0;
    }

    /// Bytes at the front that need not be looked at, because they are DATA or padding: so many may be missing.
    #[inline(always)]
    #[must_use]
    pub const fn skippable(&self) -> u32 {
        if self.phase == phase::SKIP {
            self.left
        } else {
            0
        }
    }

    /// Passes over at most [`Self::skippable`] bytes that nobody has seen.
    #[inline(always)]
    pub fn skip(&mut self, bytes: u32) {
        self.left = self.left.wrapping_sub(bytes);
        if self.left == 0 {
            self.phase = phase::HEAD;
        }
    }

    /// Some bytes are missing: where frames begin is not known.
    #[inline(always)]
    pub fn lose(&mut self) {
        self.mode = Mode::Desync as u32;
        self.block_stream = 0;
    }

    /// Takes the next bytes, as many as make one step.
    ///
    /// `available`, at least one, have arrived; of these the buffer holds `held`, at least one, from `at`. `path_key`
    /// begins the digest of a path. Not to be called in [`Mode::Desync`] or [`Mode::Opaque`].
    #[inline(always)]
    pub fn step(
        &mut self,
        buffer: &Buffer,
        at: u32,
        held: u32,
        available: u32,
        path_key: u64,
    ) -> Step {
        let mut read = 0;
        if self.phase == phase::HEAD {
            if self.collected_bytes != 0 || held < HEAD_BYTES {
                return self.piece_of_head(buffer.byte(at));
            }
            let event = self.head(Head::new(buffer.word(at), buffer.byte(at + 8)));
            let begins_block = self.phase == phase::BLOCK && self.left != self.padding;
            if !begins_block || held == HEAD_BYTES {
                return Step {
                    consumed: HEAD_BYTES + self.skip_some(available - HEAD_BYTES),
                    event,
                };
            }
            // Most blocks are short and follow their head at once.
            read = HEAD_BYTES;
        }
        match self.phase {
            phase::BLOCK => {
                let step = self.block(buffer, at + read, held - read, available - read, path_key);
                Step {
                    consumed: read + step.consumed,
                    event: step.event,
                }
            }
            phase::SKIP => nothing(self.skip_some(available)),
            phase::PREFACE => self.preface(buffer, at, held),
            phase::PRIORITY => self.priority(held),
            phase::PAD_LENGTH => Step {
                consumed: 1,
                event: self.pad_length(u32::from(buffer.byte(at))),
            },
            _ => Step {
                consumed: 1,
                event: self.piece_of_code(buffer.byte(at)),
            },
        }
    }

    /// Passes over what of the frame needs no look.
    #[inline(always)]
    fn skip_some(&mut self, available: u32) -> u32 {
        let skippable = self.skippable();
        let skipped = if skippable < available {
            skippable
        } else {
            available
        };
        if skipped != 0 {
            self.skip(skipped);
        }
        skipped
    }

    /// Passes over a stream's dependency and weight, which say nothing to the meter.
    #[inline(always)]
    fn priority(&mut self, held: u32) -> Step {
        let missing = PRIORITY_BYTES.wrapping_sub(self.collected_bytes);
        let consumed = if missing < held { missing } else { held };
        self.left = self.left.wrapping_sub(consumed);
        self.collected_bytes += consumed;
        if self.collected_bytes == PRIORITY_BYTES {
            self.collected_bytes = 0;
            self.phase = phase::BLOCK;
        }
        Step {
            consumed,
            event: self.end_of_block_or_none(),
        }
    }

    #[inline(always)]
    fn preface(&mut self, buffer: &Buffer, at: u32, held: u32) -> Step {
        let have = self.collected_bytes;
        if have == 0 && held >= 24 {
            let is_preface = buffer.word(at) == PREFACE_WORDS[0]
                && buffer.word(at + 8) == PREFACE_WORDS[1]
                && buffer.word(at + 16) == PREFACE_WORDS[2];
            if !is_preface {
                return self.not_http2(24);
            }
            self.phase = phase::HEAD;
            return nothing(24);
        }
        let word = if have < 8 {
            PREFACE_WORDS[0]
        } else if have < 16 {
            PREFACE_WORDS[1]
        } else {
            PREFACE_WORDS[2]
        };
        if (word >> ((8 * (have & 7)) & 63)) & 0xff != u64::from(buffer.byte(at)) {
            return self.not_http2(1);
        }
        self.collected_bytes = have + 1;
        if self.collected_bytes == 24 {
            self.collected_bytes = 0;
            self.phase = phase::HEAD;
        }
        nothing(1)
    }

    #[inline(always)]
    fn not_http2(&mut self, consumed: u32) -> Step {
        self.mode = Mode::Opaque as u32;
        Step {
            consumed,
            event: Event::Lost,
        }
    }

    #[inline(always)]
    fn piece_of_head(&mut self, byte: u8) -> Step {
        let have = self.collected_bytes;
        if have < 8 {
            self.collected |= u64::from(byte) << ((8 * have) & 63);
            self.collected_bytes = have + 1;
            return nothing(1);
        }
        let head = Head::new(self.collected, byte);
        self.collected = 0;
        self.collected_bytes = 0;
        Step {
            consumed: 1,
            event: self.head(head),
        }
    }

    /// A frame begins.
    #[inline(always)]
    fn head(&mut self, head: Head) -> Event {
        let is_first = self.frames == 0 && self.mode == Mode::Full as u32;
        self.frames = self.frames.wrapping_add(1);
        self.left = head.length;
        self.padding = 0;
        self.kind = head.kind;
        self.flags = head.flags;
        self.stream = head.stream;
        self.phase = if head.length == 0 {
            phase::HEAD
        } else {
            phase::SKIP
        };
        let is_continuation = head.kind == frame_type::CONTINUATION;
        // Nothing may stand between the frames of a block (RFC 9113 section 4.3).
        if (self.block_stream != 0) != is_continuation
            || (is_continuation && self.block_stream != head.stream)
        {
            return self.lost();
        }
        // Either side begins with SETTINGS (RFC 9113 section 3.4); what does not is another protocol.
        if is_first && head.kind != frame_type::SETTINGS {
            self.mode = Mode::Opaque as u32;
            return Event::Lost;
        }
        if head.stream == 0 && frame_type::is_of_a_stream(head.kind) {
            return self.lost();
        }
        self.payload(head)
    }

    /// What its payload will be taken for.
    #[inline(always)]
    fn payload(&mut self, head: Head) -> Event {
        match head.kind {
            frame_type::DATA => {
                if head.flags & flag::PADDED != 0 {
                    return self.begin_padded(head.length);
                }
                self.data(head.length)
            }
            frame_type::HEADERS => {
                self.block_stream = head.stream;
                self.block_ends_stream = head.flags & flag::END_STREAM;
                self.hpack.begin();
                if self.mode == Mode::FramesOnly as u32 {
                    return self.unread_block();
                }
                if head.flags & flag::PADDED != 0 {
                    return self.begin_padded(head.length);
                }
                self.begin_block()
            }
            frame_type::CONTINUATION => {
                if self.mode == Mode::FramesOnly as u32 {
                    return self.unread_block();
                }
                self.phase = phase::BLOCK;
                self.end_of_block_or_none()
            }
            frame_type::RST_STREAM => {
                if head.length != 4 {
                    return self.lost();
                }
                self.phase = phase::CODE;
                Event::None
            }
            frame_type::GOAWAY => {
                if head.length < 8 {
                    return self.lost();
                }
                self.phase = phase::CODE;
                Event::None
            }
            frame_type::PUSH_PROMISE => {
                // Carries a part of the compression context; no gRPC peer sends it.
                if self.mode == Mode::FramesOnly as u32 {
                    return Event::None;
                }
                self.mode = Mode::FramesOnly as u32;
                Event::HeadersLost {
                    stream: 0,
                    ends_stream: false,
                }
            }
            _ => Event::None,
        }
    }

    /// A frame that cannot be right.
    #[inline(always)]
    fn lost(&mut self) -> Event {
        self.lose();
        Event::Lost
    }

    /// The length of the padding comes first.
    #[inline(always)]
    fn begin_padded(&mut self, length: u32) -> Event {
        if length == 0 {
            return self.lost();
        }
        self.phase = phase::PAD_LENGTH;
        Event::None
    }

    #[inline(always)]
    fn data(&self, bytes: u32) -> Event {
        Event::Data {
            stream: self.stream,
            bytes,
            ends_stream: self.flags & flag::END_STREAM != 0,
        }
    }

    /// The rest of a HEADERS frame, behind the length of the padding.
    #[inline(always)]
    fn begin_block(&mut self) -> Event {
        if self.flags & flag::PRIORITY == 0 {
            self.phase = phase::BLOCK;
            return self.end_of_block_or_none();
        }
        self.phase = phase::PRIORITY;
        if self.left < PRIORITY_BYTES + self.padding {
            return self.lost();
        }
        Event::None
    }

    #[inline(always)]
    fn pad_length(&mut self, padding: u32) -> Event {
        self.left -= 1;
        if padding > self.left {
            // RFC 9113 section 6.1: a connection error.
            return self.lost();
        }
        self.padding = padding;
        if self.kind == frame_type::HEADERS {
            return self.begin_block();
        }
        self.phase = if self.left == 0 {
            phase::HEAD
        } else {
            phase::SKIP
        };
        self.data(self.left - padding)
    }

    #[inline(always)]
    fn block(
        &mut self,
        buffer: &Buffer,
        at: u32,
        held: u32,
        available: u32,
        path_key: u64,
    ) -> Step {
        let of_block = self.left.wrapping_sub(self.padding);
        let available = if of_block < available {
            of_block
        } else {
            available
        };
        let held = if available < held { available } else { held };
        let Ok(consumed) = self.hpack.step(buffer, at, held, available, path_key) else {
            return Step {
                consumed: 1,
                event: self.lose_headers(1),
            };
        };
        self.left = self.left.wrapping_sub(consumed);
        Step {
            consumed,
            event: self.end_of_block_or_none(),
        }
    }

    /// If the frame's part of the block has been read: what that means.
    #[inline(always)]
    fn end_of_block_or_none(&mut self) -> Event {
        if self.phase != phase::BLOCK || self.left != self.padding {
            return Event::None;
        }
        self.phase = if self.left == 0 {
            phase::HEAD
        } else {
            phase::SKIP
        };
        if self.flags & flag::END_HEADERS == 0 {
            return Event::None;
        }
        if !self.hpack.is_between_fields() {
            return self.lose_headers(0);
        }
        self.block_complete()
    }

    #[inline(always)]
    fn block_complete(&mut self) -> Event {
        let stream = self.block_stream;
        self.block_stream = 0;
        Event::Headers {
            stream,
            ends_stream: self.block_ends_stream != 0,
        }
    }

    /// A frame of a block that is not read.
    #[inline(always)]
    fn unread_block(&mut self) -> Event {
        if self.flags & flag::END_HEADERS == 0 {
            return Event::None;
        }
        self.block_complete()
    }

    /// From here on headers are not known; the block that is being read neither.
    #[inline(always)]
    fn lose_headers(&mut self, consumed: u32) -> Event {
        self.mode = Mode::FramesOnly as u32;
        self.left = self.left.wrapping_sub(consumed);
        self.phase = if self.left == 0 {
            phase::HEAD
        } else {
            phase::SKIP
        };
        // What was read of the block must not be taken for all of it.
        self.hpack.begin();
        if self.flags & flag::END_HEADERS == 0 {
            return Event::HeadersLost {
                stream: 0,
                ends_stream: false,
            };
        }
        let stream = self.block_stream;
        self.block_stream = 0;
        Event::HeadersLost {
            stream,
            ends_stream: self.block_ends_stream != 0,
        }
    }

    /// `RST_STREAM`: the error code. `GOAWAY`: the last stream.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "four bytes were collected")]
    fn piece_of_code(&mut self, byte: u8) -> Event {
        self.left -= 1;
        self.collected = (self.collected << 8) | u64::from(byte);
        self.collected_bytes += 1;
        if self.collected_bytes < 4 {
            return Event::None;
        }
        let code = self.collected as u32;
        self.collected = 0;
        self.collected_bytes = 0;
        self.phase = if self.left == 0 {
            phase::HEAD
        } else {
            phase::SKIP
        };
        if self.kind == frame_type::RST_STREAM {
            return Event::Reset {
                stream: self.stream,
                code,
            };
        }
        Event::GoAway {
            last_stream: code & 0x7fff_ffff,
        }
    }
}

#[inline(always)]
const fn nothing(consumed: u32) -> Step {
    Step {
        consumed,
        event: Event::None,
    }
}
