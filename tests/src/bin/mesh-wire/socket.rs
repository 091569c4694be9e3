//! The sockets, by number.

use mesh_tests::peer::monotonic_ns;
use mesh_tests::wire::{Dialling, Listening, Until};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// How long a socket waits for its other end.
const LIMIT: Duration = Duration::from_secs(30);

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Sockets {
    listener: Option<Socket>,
    streams: BTreeMap<usize, TcpStream>,
    next: usize,
}

impl Sockets {
    pub(crate) fn listen(&mut self, address: SocketAddr, how: Listening) -> io::Result<()> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        if how.defers_accept {
            set_tcp_option(socket.as_raw_fd(), libc::TCP_DEFER_ACCEPT, 10)?;
        }
        if how.fast_open {
            set_tcp_option(socket.as_raw_fd(), libc::TCP_FASTOPEN, BACKLOG)?;
        }
        socket.listen(BACKLOG)?;
        socket.set_read_timeout(Some(LIMIT))?;
        self.listener = Some(socket);
        Ok(())
    }

    pub(crate) fn connect(&mut self, target: SocketAddr, how: Dialling) -> io::Result<usize> {
        let socket = Socket::new(
            Domain::for_address(target),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if how.without_quick_ack {
            set_tcp_option(socket.as_raw_fd(), libc::TCP_QUICKACK, 0)?;
        }
        if how.fast_open {
            set_tcp_option(socket.as_raw_fd(), libc::TCP_FASTOPEN_CONNECT, 1)?;
        }
        socket.connect(&target.into())?;
        self.keep(socket.into())
    }

    pub(crate) fn accept(&mut self) -> io::Result<usize> {
        let listener = self.listener.as_ref().ok_or_else(no_socket)?;
        let (socket, _peer) = listener.accept()?;
        self.keep(socket.into())
    }

    fn keep(&mut self, stream: TcpStream) -> io::Result<usize> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        let number = self.next;
        self.next += 1;
        self.streams.insert(number, stream);
        Ok(number)
    }

    fn stream(&self, socket: usize) -> io::Result<&TcpStream> {
        self.streams.get(&socket).ok_or_else(no_socket)
    }

    pub(crate) fn send(&self, socket: usize, bytes: &[u8]) -> io::Result<()> {
        self.stream(socket)?.write_all(bytes)
    }

    pub(crate) fn flood(&self, socket: usize, bytes: &[u8], times: u32) -> io::Result<u64> {
        for sent in 0..times {
            match self.send(socket, bytes) {
                Ok(()) => {}
                Err(error) if has_left(&error) => return Ok(sent.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(times.into())
    }

    /// Reads whole frames; says whether the other end has left.
    pub(crate) fn hear(&self, socket: usize, until: Until) -> io::Result<(Vec<u8>, bool)> {
        let mut heard = Vec::new();
        let mut left = until.count();
        while left > 0 {
            match self.frame(socket, &mut heard) {
                Ok(head) => left = left.saturating_sub(until.progress(&head)),
                Err(error) if has_left(&error) => return Ok((heard, true)),
                Err(error) => return Err(error),
            }
        }
        Ok((heard, false))
    }

    /// Appends the next frame; gives its head.
    fn frame(&self, socket: usize, heard: &mut Vec<u8>) -> io::Result<[u8; 9]> {
        let mut head = [0; 9];
        self.stream(socket)?.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.receive(socket, length as usize)?;
        heard.extend(head);
        heard.extend(payload);
        Ok(head)
    }

    pub(crate) fn receive(&self, socket: usize, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream(socket)?.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn swallow(&self, socket: usize, bytes: u64) -> io::Result<()> {
        let read = io::copy(&mut self.stream(socket)?.take(bytes), &mut io::sink())?;
        if read == bytes {
            return Ok(());
        }
        Err(io::Error::other(format!("the end after {read} bytes")))
    }

    pub(crate) fn await_ends(&self, socket: usize, streams: u32) -> io::Result<()> {
        for _ in 0..streams {
            self.await_end(socket)?;
        }
        Ok(())
    }

    /// Reads frames up to the next that ends a stream; gives the stream.
    fn await_end(&self, socket: usize) -> io::Result<u32> {
        loop {
            let head = self.frame(socket, &mut Vec::new())?;
            if Until::Ends(1).progress(&head) > 0 {
                return Ok(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
            }
        }
    }

    pub(crate) fn stamp(&self, socket: usize, request: &[u8]) -> io::Result<u64> {
        let begin = monotonic_ns();
        self.send(socket, request)?;
        self.await_end(socket)?;
        Ok(monotonic_ns() - begin)
    }

    pub(crate) fn drain(&self, socket: usize) -> io::Result<u64> {
        let mut buffer = vec![0; 65_536];
        let mut count = 0;
        loop {
            match self.stream(socket)?.read(&mut buffer) {
                Ok(0) => return Ok(count),
                Ok(read) => count += read as u64,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(count),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn finish(&self, socket: usize) -> io::Result<()> {
        self.stream(socket)?.shutdown(Shutdown::Write)
    }

    pub(crate) fn close(&mut self, socket: usize) {
        self.streams.remove(&socket);
    }

    pub(crate) fn abort(&mut self, socket: usize) -> io::Result<()> {
        SockRef::from(self.stream(socket)?).set_linger(Some(Duration::ZERO))?;
        self.close(socket);
        Ok(())
    }
}

/// Whether an error says that the other end has closed the connection.
fn has_left(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn no_socket() -> io::Error {
    io::Error::other("no such socket")
}

fn set_tcp_option(socket: RawFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    const SIZE: libc::socklen_t = 4;
    // SAFETY: the option's value is an int that lives for the call, and an int has four bytes.
    let result = unsafe {
        libc::setsockopt(
            socket,
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            SIZE,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
