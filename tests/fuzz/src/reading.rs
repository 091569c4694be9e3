//! What is said on each stream of a direction, in the terms of whoever reads it.

use std::collections::BTreeMap;

use http::HeaderMap;

use crate::oracle::{Oracle, Said};

/// Fields of a block, sorted: a map of headers keeps the order of one name's values only.
pub type Block = Vec<(Vec<u8>, Vec<u8>)>;

/// One direction of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Head and trailers, without interim responses, which every reader keeps to itself.
    pub blocks: Vec<Block>,
    /// Payload of DATA without padding.
    pub body_bytes: u64,
    /// How it ends.
    pub end: StreamEnd,
}

/// How a direction of a stream ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamEnd {
    /// Not yet.
    #[default]
    Open,
    /// As it should.
    Ended,
    /// With this error code.
    Reset(u32),
}

/// One direction of a connection by stream.
pub type Reading = BTreeMap<u32, Stream>;

/// What the oracle has read of a legal direction.
///
/// # Panics
/// When something was said that no legal exchange says.
#[must_use]
pub fn by_stream(oracle: &Oracle) -> Reading {
    let mut reading = Reading::new();
    let mut lists = oracle.lists.iter();
    for said in &oracle.said {
        match said {
            Said::Headers {
                stream,
                ends_stream,
                ..
            } => {
                let list = lists.next().expect("a list for each block");
                let stream = reading.entry(*stream).or_default();
                if !is_interim(list) {
                    stream.blocks.push(comparable(list.clone()));
                }
                stream.end_if(*ends_stream);
            }
            Said::Data {
                stream,
                bytes,
                ends_stream,
            } => {
                let stream = reading.entry(*stream).or_default();
                stream.body_bytes += u64::from(*bytes);
                stream.end_if(*ends_stream);
            }
            Said::Reset { stream, code } => {
                reading.entry(*stream).or_default().end = StreamEnd::Reset(*code);
            }
            Said::GoAway { .. } | Said::HeadersLost { .. } | Said::Lost => {
                panic!("{said:?} in a legal exchange");
            }
        }
    }
    reading
}

impl Stream {
    fn end_if(&mut self, ends_stream: bool) {
        if ends_stream {
            self.end = StreamEnd::Ended;
        }
    }
}

fn is_interim(list: &Block) -> bool {
    list.iter()
        .any(|(name, value)| name == b":status" && value.starts_with(b"1"))
}

/// Without the order, and what no `Uri` says of a request without an authority.
#[must_use]
pub fn comparable(mut list: Block) -> Block {
    list.retain(|(name, _)| name != b":scheme");
    list.sort();
    list
}

/// A map of headers as fields.
#[must_use]
pub fn fields(headers: &HeaderMap) -> Block {
    let fields = headers.iter();
    fields
        .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()))
        .collect()
}
