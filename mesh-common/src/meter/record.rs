//! What the meter keeps, and what the agent reads of it.
//!
//! ```text
//! METER_OUT, METER_IN (socket storage)   one direction each: Meter
//! METER_CONNS  conn id ─► MeteredConnection     PAIRS  4-tuple ─► Link, from SYN until the other end is known
//! EARLY        4-tuple ─► Meter, until the listener's child is there    HELD  pages of what came too early
//! STREAMS      (conn, stream) ─► Stream         open RPCs
//! RPCS         RpcKey ─► RpcRow                 what is counted
//! METHODS      MethodKey ─► Method              labels in use       CANDIDATES  the same, not yet a label (LRU)
//! OBSERVED     ring of Observation              sampled, slow, failed or tapped RPCs
//! ```

use super::block::PATH_BYTES_MAX;
use super::buffer::Buffer;
use super::decoder::Decoder;
use crate::address::SocketAddress;
use crate::histogram::Histogram;
use crate::wire::record;

/// Whose view of an RPC a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Side {
    /// The client's; the server is elsewhere.
    Client = 0,
    /// The server's; the client is elsewhere.
    Server = 1,
    /// Both are on this node: one observation, two series.
    Both = 2,
}

impl Side {
    /// Decodes the integer of a record.
    #[must_use]
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Client),
            1 => Some(Self::Server),
            2 => Some(Self::Both),
            _ => None,
        }
    }

    /// Whether the client's series is meant (too).
    #[must_use]
    pub const fn is_client(self) -> bool {
        matches!(self, Self::Client | Self::Both)
    }

    /// Whether the server's series is meant (too).
    #[must_use]
    pub const fn is_server(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }
}

/// The service of a server socket whose address is an endpoint of several, or of none.
pub const SERVICE_UNKNOWN: u32 = u32::MAX;

/// The destination of a server socket whose service is not known.
pub const DESTINATION_UNKNOWN: u32 = u32::MAX;

/// The method of RPCs whose method is no label: `_OTHER`.
pub const METHOD_OTHER: u64 = 0;

/// Labels that one service may have.
pub const METHODS_PER_SERVICE_MAX: u64 = 512;

/// The index of a service in `SERVICE_METHODS`, which has one entry more than there may be services: [`SERVICE_UNKNOWN`] has
/// the first.
#[inline(always)]
#[must_use]
pub const fn methods_index(service: u32) -> u32 {
    const { assert!(SERVICE_UNKNOWN == u32::MAX) };
    service.wrapping_add(1)
}

record! {
    /// What a meter knows of its connection.
    pub struct Link, size 32 {
        /// Identifies the connection: the socket cookie of the end that was metered first.
        pub connection: u64,
        /// Source id.
        pub source: u32,
        /// Destination id.
        pub destination: u32,
        /// Service id, or [`SERVICE_UNKNOWN`].
        pub service: u32,
        /// A [`Side`] as integer.
        pub side: u32,
        /// Whether this socket is the connecting end (1).
        pub is_client: u32,
        /// What is known of the other end, a [`PeerPlace`] as integer.
        pub peer: u32,
    }
}

/// Where the other end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PeerPlace {
    /// Not known yet.
    Unknown = 0,
    /// On this node and metered: each end parses what it sends.
    Local = 1,
    /// Elsewhere (or not metered): this end parses both directions.
    Remote = 2,
}

record! {
    /// What a direction says of one RPC since it was last written down: it goes into `STREAMS` once per packet, or when
    /// the direction turns to another stream.
    pub struct Pending, size 40 {
        /// Payload bytes of DATA.
        pub bytes: u64,
        /// When response headers were first seen, `CLOCK_MONOTONIC` ns; zero: not in this packet.
        pub first_ns: u64,
        /// The stream; zero: nothing pends.
        pub stream: u32,
        /// Whether the stream has ended in this direction (1).
        pub has_ended: u32,
        /// `grpc-status`, or [`super::UNKNOWN`].
        pub grpc_status: u32,
        /// `:status`, or [`super::UNKNOWN`].
        pub http_status: u32,
        /// Whether a status may have been among references that are not known (1).
        pub is_uncertain: u32,
        /// Whether `stream` is a new request, whose record stands in [`Meter::request`] (1).
        pub is_new: u32,
    }
}

record! {
    /// Where a run of the decoder over one packet stands. On a program's stack the verifier would follow every value it can
    /// take; here it knows none, and looks at one step only.
    pub struct RunState, size 48 {
        /// The time of the packet, `CLOCK_MONOTONIC` ns.
        pub now_ns: u64,
        /// Address of the held bytes to take from; zero: from the packet.
        pub piece: u64,
        /// Where in the packet or the held bytes the next one stands.
        pub at: u32,
        /// Bytes from there on.
        pub left: u32,
        /// Where in the buffer that byte stands.
        pub cursor: u32,
        /// Bytes in the buffer from there on.
        pub buffered: u32,
        /// An event that has been found and not been taken account of; zero: none.
        pub event: u32,
        /// Its stream.
        pub stream: u32,
        /// Its bytes or its code.
        pub value: u32,
        /// Whether it ends the stream (1).
        pub ends_stream: u32,
    }
}

record! {
    /// One direction of a socket: decoder, sequence, and what pends.
    pub struct Meter, size 1816 {
        /// The connection.
        pub link: Link,
        /// The decoder.
        pub decoder: Decoder,
        /// Bytes that the decoder looks at.
        pub buffer: Buffer,
        /// The run that is under way.
        pub run: RunState,
        /// What pends.
        pub pending: Pending,
        /// The record of a request that has just begun.
        pub request: Stream,
        /// More than zero while a CPU decodes; atomic.
        pub busy: u64,
        /// Whether something came too early and is held (1).
        pub is_holding: u32,
        /// How often that has begun: pages of one holding are not taken for those of another.
        pub holding: u32,
        /// The sequence number behind all that is held.
        pub held_until: u32,
        /// The sequence number of the next byte to decode.
        pub next_sequence: u32,
        /// Whether `next_sequence` is known (1).
        pub is_sequenced: u32,
        /// Where the other direction stood when this one began: the acknowledgement in its first packet.
        pub peer_sequence: u32,
        /// The highest stream whose request was seen.
        pub last_stream: u32,
        /// Whether the socket's end has been accounted for (1).
        pub is_closed: u32,
        /// Whether the socket receives this direction (1): its packets may come in any order and on several CPUs at once.
        pub is_received: u32,
        /// Whether the direction is that of responses (1).
        pub is_response: u32,
    }
}

record! {
    /// Key of `STREAMS`.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct StreamKey, size 16 {
        /// The connection.
        pub connection: u64,
        /// The stream.
        pub stream: u32,
        /// Zero.
        pub reserved: u32,
    }
}

record! {
    /// An RPC that has begun and not ended.
    pub struct Stream, size 144 {
        /// When the request's headers were seen, `CLOCK_MONOTONIC` ns.
        pub started_ns: u64,
        /// When the response's headers were seen; zero: not yet.
        pub first_ns: u64,
        /// Digest of the path; zero: not known.
        pub path: u64,
        /// The method's label when the RPC began: `path`, or [`METHOD_OTHER`].
        pub label: u64,
        /// `grpc-timeout` in microseconds; zero: none.
        pub timeout_us: u64,
        /// Payload bytes of the request.
        pub request_bytes: u64,
        /// Payload bytes of the response.
        pub response_bytes: u64,
        /// The encoded `traceparent`.
        pub trace_parent: [u64; 7],
        /// Its length and encoding, as in [`super::Block::trace_parent_length`].
        pub trace_parent_length: u32,
        /// Source id.
        pub source: u32,
        /// Destination id.
        pub destination: u32,
        /// Service id, or [`SERVICE_UNKNOWN`].
        pub service: u32,
        /// `:status` of the response, or [`super::UNKNOWN`].
        pub http_status: u32,
        /// A [`Side`] as integer. At the start only what the client's end knows.
        pub side: u32,
        /// Zero.
        pub reserved: [u32; 2],
    }
}

record! {
    /// Key of `RPCS`.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct RpcKey, size 24 {
        /// Digest of the path, a key of `METHODS`; [`METHOD_OTHER`]: no label.
        pub method: u64,
        /// Source id.
        pub source: u32,
        /// Destination id.
        pub destination: u32,
        /// A [`super::StatusCode`] as integer.
        pub status: u32,
        /// A [`Side`] as integer.
        pub side: u32,
    }
}

record! {
    /// Counts of completed RPCs. All zero at creation; only ever added to.
    pub struct RpcRow, size 400 {
        /// From the request's headers to the end of the response.
        pub duration: Histogram,
        /// From the request's headers to the response's.
        pub first_response: Histogram,
        /// Payload bytes of requests.
        pub request_bytes: u64,
        /// Payload bytes of responses.
        pub response_bytes: u64,
    }
}

record! {
    /// Key of `METHODS` and `CANDIDATES`.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct MethodKey, size 16 {
        /// Digest of the path's encoding: one path may have two, raw and Huffman-coded.
        pub path: u64,
        /// Service id, or [`SERVICE_UNKNOWN`].
        pub service: u32,
        /// Zero.
        pub reserved: u32,
    }
}

record! {
    /// The text of a path.
    pub struct Method, size 168 {
        /// The encoded path, cut at [`PATH_BYTES_MAX`] bytes.
        pub text: [u64; PATH_BYTES_MAX as usize / 8],
        /// Its length and encoding, as in [`super::Block::path_length`]; zero: not known yet.
        pub length: u32,
        /// Zero.
        pub reserved: u32,
    }
}

record! {
    /// A metered connection, known to both of its ends.
    pub struct MeteredConnection, size 24 {
        /// When it was closed, `CLOCK_MONOTONIC` ns; zero: it is open.
        pub closed_ns: u64,
        /// RPCs that began up to then are lost: a direction lost its place. Zero: none.
        pub lost_ns: u64,
        /// Whether the accepting end is metered on this node (1).
        pub is_adopted: u32,
        /// Zero.
        pub reserved: u32,
    }
}

record! {
    /// Key of `PAIRS` and `EARLY`: the two ends of a connection. Loopback addresses mean something within a network namespace
    /// only; two connections of two namespaces would have to choose the same port within the milliseconds of a handshake
    /// to be taken for each other.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct PairKey, size 40 {
        /// The connecting end.
        pub client: SocketAddress,
        /// The accepting end.
        pub server: SocketAddress,
    }
}

record! {
    /// How RPCs are chosen for [`Observation`]s. Written by the agent.
    pub struct Sampling, size 32 {
        /// An RPC that took at least so long is observed; zero: none for that.
        pub slow_ns: u64,
        /// Of 2^32 RPCs without a sampled parent so many are observed at random.
        pub ratio: u32,
        /// Whether RPCs that failed are observed (1).
        pub failed: u32,
        /// Whether the parent's decision is followed (1).
        pub parent: u32,
        /// Whether somebody taps: every RPC is observed (1).
        pub tap: u32,
        /// Zero.
        pub reserved: u64,
    }
}

/// Why an RPC was observed; bits of [`Observation::reasons`].
pub mod reason {
    /// By the ratio.
    pub const SAMPLED: u32 = 1;
    /// Its parent was.
    pub const PARENT: u32 = 2;
    /// It was slow.
    pub const SLOW: u32 = 4;
    /// It failed.
    pub const FAILED: u32 = 8;
    /// Somebody taps.
    pub const TAP: u32 = 16;
}

record! {
    /// A completed RPC that was chosen.
    pub struct Observation, size 184 {
        /// The RPC.
        pub stream: Stream,
        /// The connection.
        pub connection: u64,
        /// When the response ended, `CLOCK_MONOTONIC` ns.
        pub ended_ns: u64,
        /// The method's label at the end, a key of `METHODS` with `stream.service`.
        pub method: u64,
        /// The HTTP/2 stream.
        pub stream_id: u32,
        /// A [`super::StatusCode`] as integer.
        pub status: u32,
        /// Bits of [`reason`].
        pub reasons: u32,
        /// A [`Side`] as integer.
        pub side: u32,
    }
}
