//! What a test tells `mesh-wire`, and what it answers.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
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
    Receive {
        socket: usize,
        bytes: usize,
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
    /// A number of bytes.
    pub count: u64,
    /// Times of exchanges.
    pub times_ns: Vec<u64>,
}

/// Bytes as text.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

/// Text as bytes; `None` if it is not hexadecimal.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
