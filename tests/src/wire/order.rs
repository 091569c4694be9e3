//! What a test tells `mesh-wire`, and what it answers.

use crate::http2::{flag, kind};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How a listener is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// `TCP_DEFER_ACCEPT`: a connection is made when its first bytes come.
    pub defers_accept: bool,
    /// `TCP_FASTOPEN`: the first bytes may come with the SYN.
    pub fast_open: bool,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialling {
    /// `TCP_QUICKACK` 0 before `connect()`: the handshake's last packet waits for the first bytes.
    pub without_quick_ack: bool,
    /// `TCP_FASTOPEN_CONNECT`: the SYN waits for the first bytes.
    pub fast_open: bool,
}

/// What ends hearing; the connection's end does in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// So many streams have ended or been reset.
    Ends(u64),
    /// So many heads or trailers have come.
    Blocks(u64),
    /// So many bytes of DATA frames have come.
    Data(u64),
    /// So many PINGs were acknowledged.
    Pongs(u64),
    /// The connection has ended.
    Over,
}

impl Until {
    /// How much it takes.
    #[must_use]
    pub const fn count(self) -> u64 {
        match self {
            Self::Ends(count) | Self::Blocks(count) | Self::Data(count) | Self::Pongs(count) => {
                count
            }
            Self::Over => u64::MAX,
        }
    }

    /// How much of it a frame is, by its head.
    #[must_use]
    pub fn progress(self, head: &[u8; 9]) -> u64 {
        let &[l0, l1, l2, kind, flags, ..] = head;
        match self {
            Self::Ends(_) => u64::from(match kind {
                kind::DATA | kind::HEADERS => flags & flag::END_STREAM != 0,
                other => other == kind::RST_STREAM,
            }),
            Self::Blocks(_) => u64::from(kind == kind::HEADERS),
            Self::Data(_) if kind == kind::DATA => u32::from_be_bytes([0, l0, l1, l2]).into(),
            Self::Pongs(_) => u64::from(kind == kind::PING && flags & flag::ACK != 0),
            Self::Data(_) | Self::Over => 0,
        }
    }
}

/// One line of input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the methods of Wire say what each order is")]
pub enum Order {
    Listen {
        address: SocketAddr,
        how: Listening,
    },
    Connect {
        target: SocketAddr,
        how: Dialling,
    },
    Accept,
    Send {
        socket: usize,
        pieces: Vec<String>,
    },
    SendOften {
        socket: usize,
        piece: String,
        times: u32,
    },
    Flood {
        socket: usize,
        piece: String,
        times: u32,
    },
    Receive {
        socket: usize,
        bytes: usize,
    },
    Hear {
        socket: usize,
        until: Until,
    },
    Swallow {
        socket: usize,
        bytes: u64,
    },
    AwaitEnds {
        socket: usize,
        streams: u32,
    },
    Stamp {
        socket: usize,
        requests: Vec<String>,
    },
    Drain {
        socket: usize,
    },
    Finish {
        socket: usize,
    },
    Close {
        socket: usize,
    },
    Abort {
        socket: usize,
    },
}

/// One line of output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Why the order could not be carried out.
    pub error: Option<String>,
    /// The number of a socket.
    pub socket: usize,
    /// Bytes read, in hexadecimal.
    pub bytes: String,
    /// A number of bytes, or of pieces.
    pub count: u64,
    /// Whether the other end has left.
    pub is_over: bool,
    /// Times of exchanges.
    pub times_ns: Vec<u64>,
}

/// Bytes as text.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
    bytes.iter().flat_map(digits).map(char::from).collect()
}

/// Text as bytes; `None` if it is not hexadecimal.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|&[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok())
        .collect()
}
