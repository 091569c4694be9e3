//! The socket of a connection: what comes goes to its [`Connection`], what that has to send comes from it.

use super::half::Link;
use bytes::BytesMut;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Pieces that are written at once.
const SLICES_MAX: usize = 64;

thread_local! {
    /// What all connections of a thread read into, so that an idle one holds no memory.
    static SCRATCH: RefCell<BytesMut> = RefCell::default();
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
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.reserve(READ_BYTES);
            scratch.extend_from_slice(&self.input);
            let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, scratch))?;
            if read == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.read_bytes += read as u64;
            link.lock().receive(scratch, Instant::now());
            if scratch.is_empty() {
                self.input = BytesMut::new();
            } else {
                self.input = BytesMut::from(&scratch[..]);
            }
            Poll::Ready(Ok(()))
        })
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
