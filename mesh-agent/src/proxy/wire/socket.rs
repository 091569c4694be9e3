//! The socket of a connection: what comes goes to its [`Connection`], what that has to send comes from it.

use super::half::Link;
use bytes::BytesMut;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once.
const READ_BYTES: usize = 128 << 10;

/// Pieces that are written at once.
const SLICES_MAX: usize = 64;

/// Memory to read into that a thread keeps: as much as the bodies of some streams take that are on their way through it. Pages
/// that come and go cost more than what is read into them.
const BUFFERS_MAX: usize = 16;

/// So many reads let go of one piece: a thread keeps as many as it goes on needing.
const READS_PER_RELEASE: u32 = 1_024;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// What all connections of a thread read into, so that an idle one holds no memory. Large bodies stay there until they are
/// written, and then the memory is used again.
#[derive(Debug, Default)]
struct Buffers {
    kept: VecDeque<BytesMut>,
    reads: u32,
}

impl Buffers {
    /// Memory to read into, empty.
    fn lend(&mut self) -> BytesMut {
        self.reads += 1;
        if self.reads == READS_PER_RELEASE {
            self.reads = 0;
            self.kept.pop_back();
        }
        for _ in 0..self.kept.len() {
            let mut buffer = self.kept.pop_front().unwrap_or_default();
            buffer.clear();
            if buffer.try_reclaim(READ_BYTES) {
                return buffer;
            }
            self.kept.push_back(buffer);
        }
        BytesMut::with_capacity(READ_BYTES)
    }

    fn take_back(&mut self, buffer: BytesMut) {
        if self.kept.len() < BUFFERS_MAX {
            // The next one to be lent: it is in the processor's caches.
            self.kept.push_front(buffer);
        }
    }
}

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// The beginning of a frame that is not complete.
    input: BytesMut,
    read_bytes: u64,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            read_bytes: 0,
        }
    }

    /// Bytes read so far.
    pub(super) const fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Reads once, and has the connection take it. An error: nothing more comes.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<io::Result<()>> {
        if !self.input.is_empty() {
            ready!(self.stream.poll_read_ready(cx))?;
        }
        let mut buffer = BUFFERS.with_borrow_mut(Buffers::lend);
        let read = self.poll_read_into(cx, &mut buffer, link);
        BUFFERS.with_borrow_mut(|buffers| buffers.take_back(buffer));
        read
    }

    fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        link: &Link,
    ) -> Poll<io::Result<()>> {
        buffer.extend_from_slice(&self.input);
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, buffer))?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.read_bytes += read as u64;
        link.lock().receive(buffer, Instant::now());
        if buffer.is_empty() {
            self.input = BytesMut::new();
        } else {
            self.input = BytesMut::from(&buffer[..]);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the connection has to send; ready when it is all with the kernel.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<io::Result<()>> {
        loop {
            let mut connection = link.lock();
            if connection.output().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = connection.output().slices(&mut slices);
            let stream = Pin::new(&mut self.stream);
            let written = if filled == 1 {
                stream.poll_write(cx, &slices[0])
            } else {
                stream.poll_write_vectored(cx, &slices[..filled])
            };
            let written = ready!(written)?;
            connection.output().advance(written);
            connection.flushed();
        }
    }

    /// Ends it; what was written still arrives.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
