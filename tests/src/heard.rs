//! What a peer of a connection has said so far, read from its bytes: fields and ends by stream, its leave.

use crate::http2::{flag, kind};
use std::collections::BTreeMap;

/// What a peer has said. Bytes come as they may; what is no whole frame waits for more.
pub struct Heard {
    /// By stream.
    pub streams: BTreeMap<u32, Said>,
    /// The newest GOAWAY.
    pub go_away: Option<GoAway>,
    /// Settings that are not acknowledgements, in the order they came.
    pub settings: Vec<(u16, u32)>,
    /// SETTINGS frames that ask for an acknowledgement.
    pub settings_frames: u32,
    /// SETTINGS that it acknowledged.
    pub settings_acks: u32,
    /// PINGs that it acknowledged.
    pub pongs: u32,
    /// Whether the connection has ended.
    pub is_over: bool,
    decoder: fluke_hpack::Decoder<'static>,
    rest: Vec<u8>,
    /// A header block that is not complete.
    block: Vec<u8>,
}

/// What it has said on a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Fields of the head and of trailers; of a name that came twice the last.
    pub fields: BTreeMap<String, String>,
    /// Header blocks.
    pub blocks: u32,
    /// Bytes of DATA frames.
    pub data_bytes: u64,
    /// The code of its reset.
    pub reset: Option<u32>,
    /// Whether nothing follows.
    pub is_ended: bool,
}

/// A GOAWAY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The last stream that it says it has looked at.
    pub last_stream: u32,
    /// Why.
    pub code: u32,
    /// What it says to people.
    pub debug: String,
}

impl Said {
    /// A field's value.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// The status of gRPC.
    #[must_use]
    pub fn grpc_status(&self) -> Option<u8> {
        self.field("grpc-status")?.parse().ok()
    }
}

impl Default for Heard {
    fn default() -> Self {
        Self {
            streams: BTreeMap::new(),
            go_away: None,
            settings: Vec::new(),
            settings_frames: 0,
            settings_acks: 0,
            pongs: 0,
            is_over: false,
            decoder: fluke_hpack::Decoder::new(),
            rest: Vec::new(),
            block: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heard")
            .field("streams", &self.streams)
            .field("go_away", &self.go_away)
            .field("settings_acks", &self.settings_acks)
            .field("pongs", &self.pongs)
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}

impl Heard {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it has said on a stream; nothing, if it has not.
    #[must_use]
    pub fn on(&self, stream: u32) -> Said {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Reads what came.
    ///
    /// # Panics
    /// If a header block cannot be read.
    pub fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.rest);
        let mut left = all.as_slice();
        while let Some((head, behind)) = left.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some((payload, behind)) = behind.split_at_checked(length) else {
                break;
            };
            self.frame(head, payload);
            left = behind;
        }
        self.rest = left.to_vec();
    }

    fn frame(&mut self, head: &[u8; 9], payload: &[u8]) {
        let &[.., kind, flags, a, b, c, d] = head;
        let stream = u32::from_be_bytes([a & 0x7f, b, c, d]);
        let is_ack = flags & flag::ACK != 0;
        match kind {
            kind::DATA => self.said(stream).data_bytes += payload.len() as u64,
            kind::HEADERS => self.block = without_priority(flags, payload).to_vec(),
            kind::CONTINUATION => self.block.extend_from_slice(payload),
            kind::RST_STREAM => self.said(stream).reset = Some(number(payload)),
            kind::SETTINGS if !is_ack => {
                self.settings_frames += 1;
                for setting in payload.chunks_exact(6) {
                    let name = u16::from_be_bytes([setting[0], setting[1]]);
                    self.settings.push((name, number(&setting[2..])));
                }
            }
            kind::SETTINGS => self.settings_acks += 1,
            kind::PING if is_ack => self.pongs += 1,
            kind::GOAWAY => {
                self.go_away = Some(GoAway {
                    last_stream: number(payload),
                    code: number(payload.get(4..).unwrap_or_default()),
                    debug: String::from_utf8_lossy(payload.get(8..).unwrap_or_default())
                        .into_owned(),
                });
            }
            _ => {}
        }
        if matches!(kind, kind::HEADERS | kind::CONTINUATION) && flags & flag::END_HEADERS != 0 {
            self.end_of_block(stream);
        }
        if matches!(kind, kind::DATA | kind::HEADERS) && flags & flag::END_STREAM != 0 {
            self.said(stream).is_ended = true;
        }
    }

    fn end_of_block(&mut self, stream: u32) {
        let block = std::mem::take(&mut self.block);
        let fields = self.decoder.decode(&block).expect("a legal header block");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let said = self.said(stream);
        said.blocks += 1;
        for (name, value) in fields {
            said.fields.insert(text(name), text(value));
        }
    }

    fn said(&mut self, stream: u32) -> &mut Said {
        self.streams.entry(stream).or_default()
    }
}

/// The block of a HEADERS frame; nobody who is heard pads.
fn without_priority(flags: u8, payload: &[u8]) -> &[u8] {
    if flags & flag::PRIORITY == 0 {
        return payload;
    }
    payload.get(5..).unwrap_or_default()
}

/// The first four bytes as a number.
fn number(bytes: &[u8]) -> u32 {
    let first = bytes.first_chunk::<4>();
    first.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::Heard;
    use crate::http2::{Block, code, go_away, headers, message, reset};

    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut() {
        let bytes = [
            headers(1, false, Block::response().bytes()),
            message(1, false, &[7; 40]),
            headers(1, true, Block::trailers(14).bytes()),
            reset(3, code::CANCEL),
            go_away(3),
        ]
        .concat();
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let mut heard = Heard::new();
            heard.take(first);
            heard.take(second);
            let answer = heard.on(1);
            assert_eq!(answer.field(":status"), Some("200"));
            assert_eq!(answer.grpc_status(), Some(14));
            assert_eq!((answer.data_bytes, answer.is_ended), (45, true));
            assert_eq!(heard.on(3).reset, Some(code::CANCEL));
            assert_eq!(heard.go_away.map(|last| last.last_stream), Some(3));
        }
    }
}
