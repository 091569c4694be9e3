//! A socket whose frames are looked at as they pass: what `h2` does not tell of its peer.

use super::budget::Budget;
use super::frames::{FrameHead, FrameScan, Seen, kind};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What has been seen on a connection. One task writes it, the connection's.
#[derive(Debug)]
pub(super) struct Log {
    read_bytes: AtomicU64,
    /// The highest stream whose headers have gone to the socket.
    stream_sent: AtomicU32,
    /// The last stream that the peer's GOAWAY lets live.
    stream_kept: AtomicU32,
    is_going_away: AtomicBool,
    is_pinged_too_often: AtomicBool,
    is_excessive: AtomicBool,
}

impl Log {
    fn new() -> Self {
        Self {
            read_bytes: AtomicU64::new(0),
            stream_sent: AtomicU32::new(0),
            stream_kept: AtomicU32::new(u32::MAX),
            is_going_away: AtomicBool::new(false),
            is_pinged_too_often: AtomicBool::new(false),
            is_excessive: AtomicBool::new(false),
        }
    }

    /// Bytes read so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Whether the headers of a stream never went to the socket.
    pub(super) fn is_unsent(&self, stream: u32) -> bool {
        stream > self.stream_sent.load(Ordering::Relaxed)
    }

    /// Whether the peer's GOAWAY says that it did not look at a stream.
    pub(super) fn is_unprocessed(&self, stream: u32) -> bool {
        stream > self.stream_kept.load(Ordering::Relaxed)
    }

    /// Whether the peer has sent a GOAWAY.
    pub(super) fn is_going_away(&self) -> bool {
        self.is_going_away.load(Ordering::Relaxed)
    }

    /// Whether the peer has complained of too many PINGs (gRFC A8).
    pub(super) fn is_pinged_too_often(&self) -> bool {
        self.is_pinged_too_often.load(Ordering::Relaxed)
    }

    /// Whether the peer has sent more control frames than it may.
    pub(super) fn is_excessive(&self) -> bool {
        self.is_excessive.load(Ordering::Relaxed)
    }

    fn go_away(&self, payload: &[u8]) {
        let Some((ids, debug)) = payload.split_at_checked(8) else {
            return;
        };
        let last = u32::from_be_bytes([ids[0] & 0x7f, ids[1], ids[2], ids[3]]);
        self.stream_kept.store(last, Ordering::Relaxed);
        self.is_going_away.store(true, Ordering::Relaxed);
        if debug.starts_with(b"too_many_pings") {
            self.is_pinged_too_often.store(true, Ordering::Relaxed);
        }
    }
}

/// Which side of the connection the proxy is.
#[derive(Debug)]
enum Side {
    /// The caller is the peer; its control frames are counted.
    Server {
        budget: Box<Budget>,
        has_answered: bool,
    },
    /// An endpoint is the peer.
    Client,
}

/// The socket of a connection.
#[derive(Debug)]
pub(super) struct Watched {
    socket: TcpStream,
    reads: FrameScan,
    writes: FrameScan,
    side: Side,
    log: Arc<Log>,
}

/// Bytes of the client's preface (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;

impl Watched {
    /// The socket of a caller.
    pub(super) fn caller(socket: TcpStream, budget: Budget) -> (Self, Arc<Log>) {
        let side = Side::Server {
            budget: Box::new(budget),
            has_answered: false,
        };
        Self::new(socket, side, [PREFACE_BYTES, 0])
    }

    /// The socket of an endpoint.
    pub(super) fn endpoint(socket: TcpStream) -> (Self, Arc<Log>) {
        Self::new(socket, Side::Client, [0, PREFACE_BYTES])
    }

    fn new(socket: TcpStream, side: Side, preface_bytes: [usize; 2]) -> (Self, Arc<Log>) {
        let log = Arc::new(Log::new());
        let watched = Self {
            socket,
            reads: FrameScan::new(preface_bytes[0]),
            writes: FrameScan::new(preface_bytes[1]),
            side,
            log: Arc::clone(&log),
        };
        (watched, log)
    }

    fn has_read(&mut self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.log.read_bytes.fetch_add(count, Ordering::Relaxed);
        let (side, log) = (&mut self.side, &self.log);
        self.reads.feed(bytes, |seen| match seen {
            Seen::Frame(frame) => side.has_received(frame, log),
            Seen::GoAway(payload) => log.go_away(payload),
        });
    }

    fn has_written(&mut self, bytes: &[u8]) {
        let (side, log) = (&mut self.side, &self.log);
        self.writes.feed(bytes, |seen| {
            if let Seen::Frame(frame) = seen {
                side.has_sent(frame, log);
            }
        });
    }
}

impl Side {
    fn has_received(&mut self, frame: FrameHead, log: &Log) {
        if let Self::Server {
            budget,
            has_answered,
        } = self
        {
            if !budget.allows(frame, *has_answered) {
                log.is_excessive.store(true, Ordering::Relaxed);
            }
            if frame.kind == kind::PING {
                *has_answered = false;
            }
        }
    }

    fn has_sent(&mut self, frame: FrameHead, log: &Log) {
        match self {
            Self::Server { has_answered, .. } => {
                *has_answered |= matches!(frame.kind, kind::DATA | kind::HEADERS);
            }
            Self::Client if frame.kind == kind::HEADERS => {
                log.stream_sent.fetch_max(frame.stream, Ordering::Relaxed);
            }
            Self::Client => {}
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.has_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.has_written(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let now = left.min(slice.len());
            self.has_written(&slice[..now]);
            left -= now;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
