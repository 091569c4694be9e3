//! What a client is told to do, and what it reports.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Connections that a client is to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dial {
    /// Where to; taken in turn.
    pub targets: Vec<SocketAddr>,
    /// How many attempts in all.
    pub count: u64,
    /// By how many threads.
    pub threads: u32,
    /// How sockets are made.
    pub socket: SocketOptions,
    /// What is said once connected.
    pub exchange: Exchange,
    /// How connections end.
    pub ending: Ending,
    /// Whether all connections are kept open until the test tells the client to end them.
    pub hold: bool,
    /// Whether to stop early when the test closes the client's input; `count` is then a bound.
    pub until_told: bool,
    /// File that gets one [`Record`] per attempt.
    pub record: Option<PathBuf>,
}

impl Dial {
    /// One plain connection to each of `targets`.
    #[must_use]
    pub fn new(targets: impl IntoIterator<Item = SocketAddr>) -> Self {
        let targets: Vec<_> = targets.into_iter().collect();
        Self {
            count: targets.len() as u64,
            targets,
            threads: 1,
            socket: SocketOptions::default(),
            exchange: Exchange::Nothing,
            ending: Ending::Close,
            hold: false,
            until_told: false,
            record: None,
        }
    }

    /// Sets the number of attempts.
    #[must_use]
    pub const fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// Sets what is said.
    #[must_use]
    pub const fn exchange(mut self, exchange: Exchange) -> Self {
        self.exchange = exchange;
        self
    }

    /// Sets how connections end.
    #[must_use]
    pub const fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Sets how sockets are made.
    #[must_use]
    pub fn socket(mut self, socket: SocketOptions) -> Self {
        self.socket = socket;
        self
    }

    /// Keeps connections open until [`super::Client::finish`].
    #[must_use]
    pub const fn hold(mut self) -> Self {
        self.hold = true;
        self
    }
}

/// How a client makes its sockets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SocketOptions {
    /// Reach IPv4 through an IPv6 socket, as gRPC's C core does.
    pub v4_mapped: bool,
    /// UDP instead of TCP.
    pub udp: bool,
    /// MPTCP instead of TCP.
    pub mptcp: bool,
    /// Addresses to bind to, taken in turn; none: unbound.
    pub sources: Vec<IpAddr>,
    /// `SO_BINDTODEVICE`.
    pub device: Option<String>,
    /// `SO_MARK`.
    pub mark: Option<u32>,
    /// `TCP_USER_TIMEOUT`: no answer for so long is `ETIMEDOUT`, for the SYN too.
    pub user_timeout_ms: Option<u64>,
    /// Give up connecting after this time: `connect()` without blocking, then `close()`.
    pub cancel_after_ms: Option<u64>,
}

/// What is said on a connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Exchange {
    /// Nothing.
    Nothing,
    /// The server says who it is ([`super::Mode::Banner`], [`super::Mode::Flash`], [`super::Mode::Datagram`]).
    Banner,
    /// Bytes are sent and come back ([`super::Mode::Echo`]).
    Echo {
        /// How many.
        bytes: u64,
    },
    /// Bytes are sent ([`super::Mode::Sink`]).
    Send {
        /// How many.
        bytes: u64,
    },
    /// An order of [`super::ORDER_LEN`] bytes is sent, then `upload` bytes; `download` bytes come ([`super::Mode::Command`]).
    Order {
        /// Bytes after the order.
        upload: u64,
        /// Bytes that come back.
        download: u64,
        /// Bytes of the download that the client leaves unread.
        unread: u64,
        /// What the server does then.
        ending: ServerEnding,
    },
}

/// How a server in [`super::Mode::Command`] ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerEnding {
    /// When the client has.
    Wait,
    /// At once, by FIN.
    Close,
    /// At once, by RST.
    Reset,
}

impl ServerEnding {
    /// As it stands in an order.
    #[must_use]
    pub const fn code(self) -> u64 {
        match self {
            Self::Wait => 0,
            Self::Close => 1,
            Self::Reset => 2,
        }
    }
}

/// How a client ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// `close()`.
    Close,
    /// `SO_LINGER` 0, then `close()`: RST, and no `TIME_WAIT`.
    Reset,
    /// `shutdown(SHUT_WR)`, reads what comes until the server's FIN, then `close()`.
    HalfClose,
    /// Reads until the server's FIN or RST, then `close()`.
    AwaitServer,
}

/// What a client has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Attempts made.
    pub attempts: u64,
    /// Attempts that led to a connection (or, for UDP, a connected socket).
    pub connected: u64,
    /// Failed attempts by error symbol; `CANCELLED`: given up as told.
    pub failed: BTreeMap<String, u64>,
    /// Exchanges that broke off, by error.
    pub broken: BTreeMap<String, u64>,
    /// Per target: who answered how often.
    pub answered: BTreeMap<SocketAddr, BTreeMap<String, u64>>,
    /// Connections whose `getpeername` was not the target.
    pub foreign_peers: u64,
    /// `getpeername` of the first connection.
    pub first_peer: Option<SocketAddr>,
    /// `getsockname` of the first connection.
    pub first_local: Option<SocketAddr>,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes read.
    pub received_bytes: u64,
}

impl Report {
    /// How often `identity` answered, over all targets.
    #[must_use]
    pub fn answers_of(&self, identity: &str) -> u64 {
        self.answered
            .values()
            .filter_map(|by_identity| by_identity.get(identity))
            .sum()
    }

    /// Adds another thread's report.
    pub fn add(&mut self, other: Self) {
        self.attempts += other.attempts;
        self.connected += other.connected;
        add_counts(&mut self.failed, other.failed);
        add_counts(&mut self.broken, other.broken);
        for (target, counts) in other.answered {
            add_counts(self.answered.entry(target).or_default(), counts);
        }
        self.foreign_peers += other.foreign_peers;
        self.first_peer = self.first_peer.or(other.first_peer);
        self.first_local = self.first_local.or(other.first_local);
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }
}

fn add_counts(into: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (name, count) in from {
        *into.entry(name).or_default() += count;
    }
}

/// One attempt, one line of a record file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Before `connect()`, [`super::monotonic_ns`].
    pub started_ns: u64,
    /// After `connect()`.
    pub ended_ns: u64,
    /// Index of the target.
    pub target: usize,
    /// Who answered, or the symbol of the error.
    pub outcome: String,
}

impl Record {
    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{} {} {} {}\n",
            self.started_ns, self.ended_ns, self.target, self.outcome
        )
    }

    /// Reads a line; `None` if it is not one.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        Some(Self {
            started_ns: words.next()?.parse().ok()?,
            ended_ns: words.next()?.parse().ok()?,
            target: words.next()?.parse().ok()?,
            outcome: words.next()?.to_owned(),
        })
    }
}
