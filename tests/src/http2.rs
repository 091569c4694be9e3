//! HTTP/2 frames and header blocks by hand, for what no library sends (RFC 9113, RFC 7541).

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// PRIORITY.
    pub const PRIORITY: u8 = 2;
    /// `RST_STREAM`.
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// `WINDOW_UPDATE`.
    pub const WINDOW_UPDATE: u8 = 8;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// Nothing follows on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// The frame acknowledges SETTINGS or a PING.
    pub const ACK: u8 = 0x1;
    /// The header block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// The payload begins with a length of padding.
    pub const PADDED: u8 = 0x8;
    /// The payload has a priority.
    pub const PRIORITY: u8 = 0x20;
}

/// Error codes.
pub mod code {
    /// Nothing is wrong.
    pub const NO_ERROR: u32 = 0;
    /// The connection's other end broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 1;
    /// An error that concerns nobody else.
    pub const INTERNAL_ERROR: u32 = 2;
    /// More was sent than the window had room for.
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    /// A frame is too long, or not as long as it must be.
    pub const FRAME_SIZE_ERROR: u32 = 6;
    /// The request was not looked at.
    pub const REFUSED_STREAM: u32 = 7;
    /// Nobody is interested any more.
    pub const CANCEL: u32 = 8;
    /// A header block cannot be read.
    pub const COMPRESSION_ERROR: u32 = 9;
    /// The other end does too much.
    pub const ENHANCE_YOUR_CALM: u32 = 11;
    /// The connection is not safe enough.
    pub const INADEQUATE_SECURITY: u32 = 12;
}

/// A setting's name (RFC 9113, 6.5.2).
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame. Its length is what it is, whether or not a peer may send so much.
///
/// # Panics
/// If the payload is longer than a length can say.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a test's payloads fit");
    let mut frame = head(length, kind, flags, stream);
    frame.extend_from_slice(payload);
    frame
}

/// The head of a frame, whatever follows.
#[must_use]
pub fn head(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let mut head = length.to_be_bytes()[1..].to_vec();
    head.extend([kind, flags]);
    head.extend(stream.to_be_bytes());
    head
}

/// A frame that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Received {
    /// Length of the payload, and the rest of a head.
    #[must_use]
    pub fn parse_head(head: [u8; HEAD_BYTES]) -> (usize, Self) {
        let [a, b, c, kind, flags, stream @ ..] = head;
        let received = Self {
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
            payload: vec![],
        };
        (u32::from_be_bytes([0, a, b, c]) as usize, received)
    }

    /// Whether it ends its stream.
    #[must_use]
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & flag::END_STREAM != 0
    }

    /// The last stream and the error code of a GOAWAY.
    #[must_use]
    pub fn go_away(&self) -> Option<(u32, u32)> {
        let payload: &[u8; 8] = self.payload.first_chunk()?;
        let &[a, b, c, d, e, f, g, h] = payload;
        let last = u32::from_be_bytes([a, b, c, d]) & (u32::MAX >> 1);
        (self.kind == kind::GOAWAY).then_some((last, u32::from_be_bytes([e, f, g, h])))
    }
}

/// Bytes of a frame's head.
pub const HEAD_BYTES: usize = 9;

/// What a client begins with: preface, empty SETTINGS, and a window that no test exhausts.
#[must_use]
pub fn client_begin() -> Vec<u8> {
    [
        PREFACE.to_vec(),
        frame(kind::SETTINGS, 0, 0, &[]),
        window_update(0),
    ]
    .concat()
}

/// What a server begins with.
#[must_use]
pub fn server_begin() -> Vec<u8> {
    frame(kind::SETTINGS, 0, 0, &[])
}

/// SETTINGS, by name and value.
#[must_use]
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in values {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// PING.
#[must_use]
pub fn ping() -> Vec<u8> {
    frame(kind::PING, 0, 0, b"01234567")
}

/// Opens the window of a stream, or of the connection (0), by 2^30 bytes.
#[must_use]
pub fn window_update(stream: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &(1_u32 << 30).to_be_bytes())
}

/// A header block in one HEADERS frame.
#[must_use]
pub fn headers(stream: u32, ends_stream: bool, block: &[u8]) -> Vec<u8> {
    let end = if ends_stream { flag::END_STREAM } else { 0 };
    frame(kind::HEADERS, flag::END_HEADERS | end, stream, block)
}

/// A header block in a HEADERS frame and as many CONTINUATIONs as it takes.
#[must_use]
pub fn long_headers(stream: u32, ends_stream: bool, block: &[u8]) -> Vec<u8> {
    /// The most that a peer takes in a frame unless it says otherwise.
    const FRAME_BYTES: usize = 16_384;
    let end = if ends_stream { flag::END_STREAM } else { 0 };
    let count = block.len().div_ceil(FRAME_BYTES);
    let mut bytes = Vec::new();
    for (number, part) in (1..).zip(block.chunks(FRAME_BYTES)) {
        let last = if number == count {
            flag::END_HEADERS
        } else {
            0
        };
        bytes.extend(match number {
            1 => frame(kind::HEADERS, end | last, stream, part),
            _ => frame(kind::CONTINUATION, last, stream, part),
        });
    }
    bytes
}

/// One gRPC message of so many bytes in a DATA frame.
///
/// # Panics
/// If it is longer than a message can be.
#[must_use]
pub fn message(stream: u32, ends_stream: bool, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a test's messages fit");
    let mut payload = vec![0];
    payload.extend(length.to_be_bytes());
    payload.extend_from_slice(content);
    frame(kind::DATA, u8::from(ends_stream), stream, &payload)
}

/// `RST_STREAM`.
#[must_use]
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// GOAWAY without an error.
#[must_use]
pub fn go_away(last_stream: u32) -> Vec<u8> {
    go_away_for(last_stream, code::NO_ERROR)
}

/// GOAWAY.
#[must_use]
pub fn go_away_for(last_stream: u32, code: u32) -> Vec<u8> {
    let mut payload = last_stream.to_be_bytes().to_vec();
    payload.extend(code.to_be_bytes());
    frame(kind::GOAWAY, 0, 0, &payload)
}

/// A header block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    bytes: Vec<u8>,
}

impl Block {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the pseudo-header fields of a gRPC request but `:path`, which comes next: all are before all others (RFC 9113
    /// section 8.3).
    #[must_use]
    pub fn post(self) -> Self {
        self.indexed(3).indexed(6).named(1, "load")
    }

    /// Appends the other fields of a gRPC request.
    #[must_use]
    pub fn of_grpc(self) -> Self {
        self.named(31, "application/grpc").literal("te", "trailers")
    }

    /// A gRPC request for a path, which is a literal with an indexed name, not indexed itself.
    #[must_use]
    pub fn request_for(path: &str) -> Self {
        Self::new().post().named(4, path).of_grpc()
    }

    /// The start of a gRPC response.
    #[must_use]
    pub fn response() -> Self {
        Self::new().indexed(8).named(31, "application/grpc")
    }

    /// The trailers of a gRPC response.
    #[must_use]
    pub fn trailers(status: u8) -> Self {
        Self::new().literal("grpc-status", &status.to_string())
    }

    /// A field of one of the tables.
    #[must_use]
    pub fn indexed(mut self, index: usize) -> Self {
        self.integer(0x80, 7, index);
        self
    }

    /// A field with a name of one of the tables, not indexed.
    #[must_use]
    pub fn named(mut self, name: usize, value: &str) -> Self {
        self.integer(0, 4, name);
        self.string(value);
        self
    }

    /// A field with a name of one of the tables, inserted into the dynamic table.
    #[must_use]
    pub fn inserted_named(mut self, name: usize, value: &str) -> Self {
        self.integer(0x40, 6, name);
        self.string(value);
        self
    }

    /// A field whose name is a literal too, not indexed.
    #[must_use]
    pub fn literal(mut self, name: &str, value: &str) -> Self {
        self.bytes.push(0);
        self.string(name);
        self.string(value);
        self
    }

    /// A field whose name is a literal too, inserted into the dynamic table.
    #[must_use]
    pub fn inserted(mut self, name: &str, value: &str) -> Self {
        self.bytes.push(0x40);
        self.string(name);
        self.string(value);
        self
    }

    /// A change of the dynamic table's size.
    #[must_use]
    pub fn table_size(mut self, bytes: usize) -> Self {
        self.integer(0x20, 5, bytes);
        self
    }

    /// Anything else.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The encoded block.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn string(&mut self, text: &str) {
        self.integer(0, 7, text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// RFC 7541 section 5.1.
    fn integer(&mut self, pattern: u8, prefix_bits: u32, value: usize) {
        let low = |value: usize| u8::try_from(value & 0xff).unwrap_or(u8::MAX);
        let limit = (1_usize << prefix_bits) - 1;
        if value < limit {
            self.bytes.push(pattern | low(value));
            return;
        }
        self.bytes.push(pattern | low(limit));
        let mut rest = value - limit;
        while rest >= 128 {
            self.bytes.push(low(rest % 128) | 0x80);
            rest /= 128;
        }
        self.bytes.push(low(rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_the_rfc() {
        let mut block = Block::new();
        block.integer(0, 5, 10);
        block.integer(0, 5, 1_337);
        block.integer(0, 8, 42);
        assert_eq!(block.bytes(), [10, 31, 154, 10, 42]);
    }

    #[test]
    fn a_frame_has_its_length_and_stream() {
        assert_eq!(
            reset(3, code::CANCEL),
            [0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 8]
        );
    }
}
