//! A direction of a connection read whole, by a full decoder of header compression.

use crate::values::{Coded, Fields, Identity, content, number, timeout_us};
use crate::walk::{Representation, walk};
use mesh_common::meter::PATH_BYTES_MAX;

/// Something the direction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A whole block.
    Headers {
        /// The stream.
        stream: u32,
        /// Whether nothing follows.
        ends_stream: bool,
        /// Its fields.
        fields: Box<Fields>,
    },
    /// `DATA`.
    Data {
        /// The stream.
        stream: u32,
        /// Payload without padding.
        bytes: u32,
        /// Whether nothing follows.
        ends_stream: bool,
    },
    /// `RST_STREAM`.
    Reset {
        /// The stream.
        stream: u32,
        /// The error code.
        code: u32,
    },
    /// `GOAWAY`.
    GoAway {
        /// The last stream.
        last_stream: u32,
    },
    /// Headers cannot be followed from here on.
    HeadersLost {
        /// The stream whose block ends here.
        stream: u32,
        /// Whether nothing follows.
        ends_stream: bool,
    },
    /// Frames cannot be followed from here on.
    Lost,
}

/// How far the direction is legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To its last whole frame.
    Whole,
    /// Frames cannot be followed, and the meter must say so.
    Broken,
    /// A block is illegal; whether a meter notices is its own affair.
    Illegal,
}

/// The direction so far.
pub struct Oracle {
    decoder: fluke_hpack::Decoder<'static>,
    /// The value of every entry ever inserted.
    inserted: Vec<Coded>,
    /// The newest `traceparent` that was spelt out.
    trace_parent: Option<Coded>,
    is_following_headers: bool,
    frames: usize,
    open: Option<OpenBlock>,
    /// What was said.
    pub said: Vec<Said>,
    /// Every header list, as text.
    pub lists: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

struct OpenBlock {
    stream: u32,
    ends_stream: bool,
    bytes: Vec<u8>,
}

struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

/// A block that does not end: the oracle has not read it, and the meter may have found it illegal already.
const UNREAD: End = End::Illegal;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

impl Oracle {
    /// Reads whole frames, and says how many bytes of `bytes` they are.
    #[must_use]
    pub fn read(bytes: &[u8]) -> (Self, usize, End) {
        let mut decoder = fluke_hpack::Decoder::new();
        // Without SETTINGS_HEADER_TABLE_SIZE, which the other direction would have to send.
        decoder.set_max_allowed_table_size(4_096);
        let mut oracle = Self {
            decoder,
            inserted: Vec::new(),
            trace_parent: None,
            is_following_headers: true,
            frames: 0,
            open: None,
            said: Vec::new(),
            lists: Vec::new(),
        };
        let mut rest = bytes;
        while let Some((frame, behind)) = split_frame(rest) {
            rest = behind;
            let was_open = oracle.open.is_some();
            let mut end = oracle.frame(&frame);
            if end == End::Broken && was_open {
                end = UNREAD;
            }
            if end == End::Broken {
                oracle.said.push(Said::Lost);
            }
            if end != End::Whole {
                return (oracle, bytes.len() - rest.len(), end);
            }
        }
        let end = if oracle.open.is_some() {
            UNREAD
        } else {
            End::Whole
        };
        (oracle, bytes.len() - rest.len(), end)
    }

    fn frame(&mut self, frame: &Frame<'_>) -> End {
        let is_first = self.frames == 0;
        self.frames += 1;
        if is_first && frame.kind != 4 {
            return End::Broken;
        }
        match &self.open {
            Some(open) if frame.kind != 9 || frame.stream != open.stream => return End::Broken,
            None if frame.kind == 9 => return End::Broken,
            Some(_) | None => {}
        }
        if frame.stream == 0 && matches!(frame.kind, 0 | 1 | 3 | 5) {
            return End::Broken;
        }
        match frame.kind {
            0 => self.data(frame),
            1 => self.headers(frame),
            3 => match <[u8; 4]>::try_from(frame.payload) {
                Ok(code) => self.say(Said::Reset {
                    stream: frame.stream,
                    code: u32::from_be_bytes(code),
                }),
                Err(_) => End::Broken,
            },
            5 if self.is_following_headers => {
                self.is_following_headers = false;
                self.say(Said::HeadersLost {
                    stream: 0,
                    ends_stream: false,
                })
            }
            7 => match frame.payload.split_first_chunk() {
                Some((last, rest)) if rest.len() >= 4 => self.say(Said::GoAway {
                    last_stream: u32::from_be_bytes(*last) & 0x7fff_ffff,
                }),
                Some(_) | None => End::Broken,
            },
            9 => {
                if let Some(open) = &mut self.open {
                    open.bytes.extend_from_slice(frame.payload);
                }
                self.end_block(frame)
            }
            _ => End::Whole,
        }
    }

    fn say(&mut self, said: Said) -> End {
        self.said.push(said);
        End::Whole
    }

    fn data(&mut self, frame: &Frame<'_>) -> End {
        let Some(payload) = without_padding(frame) else {
            return End::Broken;
        };
        self.say(Said::Data {
            stream: frame.stream,
            bytes: u32::try_from(payload.len()).expect("a frame's length has 24 bits"),
            ends_stream: frame.flags & END_STREAM != 0,
        })
    }

    fn headers(&mut self, frame: &Frame<'_>) -> End {
        let mut bytes = Vec::new();
        if self.is_following_headers {
            let Some(mut payload) = without_padding(frame) else {
                return End::Broken;
            };
            if frame.flags & PRIORITY != 0 {
                let Some((_, rest)) = payload.split_at_checked(5) else {
                    return End::Broken;
                };
                payload = rest;
            }
            bytes.extend_from_slice(payload);
        }
        self.open = Some(OpenBlock {
            stream: frame.stream,
            ends_stream: frame.flags & END_STREAM != 0,
            bytes,
        });
        self.end_block(frame)
    }

    fn end_block(&mut self, frame: &Frame<'_>) -> End {
        if frame.flags & END_HEADERS == 0 {
            return End::Whole;
        }
        let Some(open) = self.open.take() else {
            return End::Broken;
        };
        let fields = if self.is_following_headers {
            self.fields(&open.bytes)
        } else {
            Some(Fields::NONE)
        };
        let Some(fields) = fields else {
            return End::Illegal;
        };
        self.say(Said::Headers {
            stream: open.stream,
            ends_stream: open.ends_stream,
            fields: Box::new(fields),
        })
    }

    fn fields(&mut self, block: &[u8]) -> Option<Fields> {
        let representations = walk(block)?;
        let list = self.decoder.decode(block).ok()?;
        let mut fields = Fields {
            count: list.len(),
            ..Fields::NONE
        };
        let written = representations
            .iter()
            .filter(|representation| **representation != Representation::Resized);
        assert_eq!(written.clone().count(), list.len());
        for (representation, (name, value)) in written.zip(&list) {
            self.field(&mut fields, representation, name, value);
        }
        self.lists.push(list);
        Some(fields)
    }

    fn field(
        &mut self,
        fields: &mut Fields,
        representation: &Representation,
        name: &[u8],
        value: &[u8],
    ) {
        let (identity, literal) = match representation {
            Representation::Indexed(index) if *index <= 61 => (Identity::Static(*index), None),
            Representation::Indexed(index) => {
                let entry = self.inserted[self.inserted.len() - (index - 61)].clone();
                (Identity::Literal(entry), None)
            }
            Representation::Literal { value, inserted } => {
                if *inserted {
                    self.inserted.push(value.clone());
                }
                (Identity::Literal(value.clone()), Some(value.clone()))
            }
            Representation::Resized => return,
        };
        match name {
            b":path" => {
                fields.path = Some(identity);
                fields.path_text = literal.filter(|text| !text.bytes.is_empty());
                if let Some(text) = &mut fields.path_text {
                    text.bytes.truncate(PATH_BYTES_MAX as usize);
                }
            }
            b":status" => fields.http_status = number(value),
            b"grpc-status" => fields.grpc_status = number(value),
            b"grpc-timeout" => fields.timeout_us = timeout_us(value),
            b"content-type" => fields.content = content(value),
            b"traceparent" => {
                if literal.is_some() {
                    self.trace_parent = literal;
                }
                let Identity::Literal(text) = identity else {
                    return;
                };
                let fits = (1..=56).contains(&text.bytes.len());
                let is_newest = self.trace_parent.as_ref() == Some(&text);
                fields.trace_parent = (fits && is_newest).then_some(text);
            }
            _ => {}
        }
    }
}

fn split_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (&[a, b, c, kind, flags, d, e, f, g], rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    let stream = u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff;
    let frame = Frame {
        kind,
        flags,
        stream,
        payload,
    };
    Some((frame, rest))
}

fn without_padding<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    if frame.flags & PADDED == 0 {
        return Some(frame.payload);
    }
    let (&padding, rest) = frame.payload.split_first()?;
    rest.split_at_checked(rest.len().checked_sub(usize::from(padding))?)
        .map(|(payload, _)| payload)
}
