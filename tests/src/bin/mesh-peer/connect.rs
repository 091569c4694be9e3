//! The client: connections by the thousand, as a [`Dial`] says.

use mesh_tests::peer::{
    BANNER_LEN, Dial, Ending, Exchange, Record, Report, SocketOptions, errno_name, monotonic_ns,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a client waits for bytes: far above anything a healthy test needs.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Set once the test has closed the client's input.
static TOLD_TO_STOP: AtomicBool = AtomicBool::new(false);

/// Carries out the dial given as JSON; prints the report as one line of JSON.
pub(crate) fn connect(dial: &str) -> io::Result<()> {
    let dial: Dial = serde_json::from_str(dial)?;
    if dial.until_told {
        std::thread::spawn(|| {
            await_end_of_input();
            TOLD_TO_STOP.store(true, Ordering::Relaxed);
        });
    }
    let record = dial.record.as_ref().map(File::create).transpose()?;
    let record = record.map(|file| Mutex::new(BufWriter::new(file)));
    let next = Arc::new(AtomicU64::new(0));
    let (report, held) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..dial.threads)
            .map(|_| scope.spawn(|| Caller::new(&dial).call(&next, record.as_ref())))
            .collect();
        let mut report = Report::default();
        let mut held = Vec::new();
        for thread in threads {
            let (part, sockets) = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            report.add(part);
            held.extend(sockets);
        }
        (report, held)
    });
    if let Some(record) = record {
        record
            .into_inner()
            .map_err(|_poisoned| io::Error::other("a thread died"))?
            .flush()?;
    }
    if !dial.hold {
        return print(&report);
    }
    print(&report)?;
    await_end_of_input();
    let mut caller = Caller {
        dial: &dial,
        report,
    };
    for (target, socket) in held {
        caller.end(target, socket);
    }
    print(&caller.report)
}

fn print(report: &Report) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(report)?)?;
    output.flush()
}

fn await_end_of_input() {
    let mut line = String::new();
    while io::stdin()
        .read_line(&mut line)
        .is_ok_and(|length| length > 0)
    {}
}

/// One thread's work.
struct Caller<'a> {
    dial: &'a Dial,
    report: Report,
}

impl<'a> Caller<'a> {
    fn new(dial: &'a Dial) -> Self {
        Self {
            dial,
            report: Report::default(),
        }
    }

    fn call(
        mut self,
        next: &AtomicU64,
        record: Option<&Mutex<BufWriter<File>>>,
    ) -> (Report, Vec<(SocketAddr, Socket)>) {
        let mut held = Vec::new();
        let mut lines = String::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.dial.count || TOLD_TO_STOP.load(Ordering::Relaxed) {
                break;
            }
            let index = usize::try_from(number).unwrap_or(0) % self.dial.targets.len();
            let target = self.dial.targets[index];
            let started_ns = monotonic_ns();
            let opened = open(&self.dial.socket, target, number);
            let ended_ns = monotonic_ns();
            let outcome = self.converse(target, opened, &mut held);
            if record.is_some() {
                lines.push_str(
                    &Record {
                        started_ns,
                        ended_ns,
                        target: index,
                        outcome,
                    }
                    .line(),
                );
            }
        }
        if let Some(record) = record {
            let mut file = record
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            // A full disk shows as a record that ends early, which the reader of the file refuses.
            drop(file.write_all(lines.as_bytes()));
        }
        (self.report, held)
    }

    /// Speaks on a new connection; says who answered or what went wrong.
    fn converse(
        &mut self,
        target: SocketAddr,
        opened: io::Result<Socket>,
        held: &mut Vec<(SocketAddr, Socket)>,
    ) -> String {
        self.report.attempts += 1;
        let mut socket = match opened {
            Ok(socket) => socket,
            Err(error) => {
                let name = error_name(&error);
                *self.report.failed.entry(name.clone()).or_default() += 1;
                return name;
            }
        };
        self.report.connected += 1;
        self.note_names(&socket, target);
        let outcome = match self.exchange(&mut socket) {
            Ok(identity) => {
                let by_identity = self.report.answered.entry(target).or_default();
                *by_identity.entry(identity.clone()).or_default() += 1;
                identity
            }
            Err(error) => {
                let name = error_name(&error);
                *self.report.broken.entry(name.clone()).or_default() += 1;
                name
            }
        };
        if self.dial.hold {
            held.push((target, socket));
        } else {
            self.end(target, socket);
        }
        outcome
    }

    fn note_names(&mut self, socket: &Socket, target: SocketAddr) {
        let name = |address: io::Result<SockAddr>| address.ok().and_then(|name| name.as_socket());
        let peer = name(socket.peer_addr());
        if peer.map(canonical) != Some(canonical(target)) {
            self.report.foreign_peers += 1;
        }
        if self.report.first_peer.is_none() {
            self.report.first_peer = peer;
            self.report.first_local = name(socket.local_addr());
        }
    }

    fn exchange(&mut self, socket: &mut Socket) -> io::Result<String> {
        match self.dial.exchange {
            Exchange::Nothing => Ok(String::new()),
            Exchange::Banner => self.read_banner(socket),
            Exchange::Echo { bytes } => self.echo(socket, bytes).map(|()| String::new()),
            Exchange::Send { bytes } => self.send(socket, bytes).map(|()| String::new()),
            Exchange::Order {
                upload,
                download,
                unread,
                ending,
            } => {
                let order = [upload, download, ending.code()]
                    .map(u64::to_be_bytes)
                    .concat();
                socket.write_all(&order)?;
                self.report.sent_bytes += order.len() as u64;
                self.send(socket, upload)?;
                self.receive(socket, download - unread)?;
                if unread > 0 {
                    await_bytes(socket, unread)?;
                }
                Ok(String::new())
            }
        }
    }

    fn read_banner(&mut self, socket: &mut Socket) -> io::Result<String> {
        if self.dial.socket.udp {
            socket.send(b"who")?;
        }
        let mut banner = [0; BANNER_LEN];
        socket.read_exact(&mut banner)?;
        self.report.received_bytes += banner.len() as u64;
        Ok(String::from_utf8_lossy(&banner).trim_end().to_owned())
    }

    /// Sends in portions that fit the buffers, each awaited back.
    fn echo(&mut self, socket: &mut Socket, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let portion = bytes.min(16_384);
            self.send(socket, portion)?;
            self.receive(socket, portion)?;
            bytes -= portion;
        }
        Ok(())
    }

    fn send(&mut self, socket: &mut Socket, mut bytes: u64) -> io::Result<()> {
        let buffer = [0x75; 65_536];
        while bytes > 0 {
            let room = usize::try_from(bytes).map_or(buffer.len(), |bytes| bytes.min(buffer.len()));
            let sent = socket.write(&buffer[..room])? as u64;
            self.report.sent_bytes += sent;
            bytes -= sent;
        }
        Ok(())
    }

    fn receive(&mut self, socket: &mut Socket, mut bytes: u64) -> io::Result<()> {
        let mut buffer = [0; 65_536];
        while bytes > 0 {
            let room = usize::try_from(bytes).map_or(buffer.len(), |bytes| bytes.min(buffer.len()));
            let read = socket.read(&mut buffer[..room])? as u64;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.report.received_bytes += read;
            bytes -= read;
        }
        Ok(())
    }

    /// Ends a connection as the dial says.
    fn end(&mut self, target: SocketAddr, mut socket: Socket) {
        let ended = match self.dial.ending {
            Ending::Close => Ok(()),
            Ending::Reset => socket.set_linger(Some(Duration::ZERO)),
            Ending::HalfClose => socket
                .shutdown(Shutdown::Write)
                .and_then(|()| self.read_rest(&mut socket)),
            Ending::AwaitServer => self.read_rest(&mut socket),
        };
        if let Err(error) = ended {
            let name = format!("{} at the end of {target}", error_name(&error));
            *self.report.broken.entry(name).or_default() += 1;
        }
    }

    fn read_rest(&mut self, socket: &mut Socket) -> io::Result<()> {
        let mut buffer = [0; 65_536];
        loop {
            let read = socket.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.report.received_bytes += read as u64;
        }
    }
}

/// Makes a socket and connects it.
fn open(options: &SocketOptions, target: SocketAddr, number: u64) -> io::Result<Socket> {
    let target = if options.v4_mapped {
        mapped(target)
    } else {
        target
    };
    let (kind, protocol) = match (options.udp, options.mptcp) {
        (true, _) => (Type::DGRAM, Protocol::UDP),
        (false, true) => (Type::STREAM, Protocol::MPTCP),
        (false, false) => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(target), kind, Some(protocol))?;
    if options.v4_mapped {
        socket.set_only_v6(false)?;
    }
    if let Some(device) = &options.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if let Some(mark) = options.mark {
        socket.set_mark(mark)?;
    }
    if let Some(limit_ms) = options.user_timeout_ms {
        socket.set_tcp_user_timeout(Some(Duration::from_millis(limit_ms)))?;
    }
    if !options.sources.is_empty() {
        let index = usize::try_from(number).unwrap_or(0) % options.sources.len();
        let source = SocketAddr::new(options.sources[index], 0);
        let source = if options.v4_mapped {
            mapped(source)
        } else {
            source
        };
        socket.bind(&source.into())?;
    }
    socket.set_read_timeout(Some(READ_LIMIT))?;
    match options.cancel_after_ms {
        None => socket.connect(&target.into())?,
        Some(limit_ms) => connect_or_cancel(&socket, target, limit_ms)?,
    }
    Ok(socket)
}

/// Connects without blocking; an error of kind `Interrupted` says that time ran out.
fn connect_or_cancel(socket: &Socket, target: SocketAddr, limit_ms: u64) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let limit = Timespec::try_from(Duration::from_millis(limit_ms)).map_err(io::Error::other)?;
    let ready = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&limit))?;
    if ready == 0 {
        return Err(io::ErrorKind::Interrupted.into());
    }
    socket.take_error()?.map_or(Ok(()), Err)?;
    socket.set_nonblocking(false)
}

/// Waits until `bytes` lie unread in the socket.
fn await_bytes(socket: &Socket, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![MaybeUninit::uninit(); usize::try_from(bytes).map_err(io::Error::other)?];
    let end = std::time::Instant::now() + READ_LIMIT;
    while (socket.peek(&mut buffer)? as u64) < bytes {
        if std::time::Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    SocketAddr::new(ip.into(), address.port())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn error_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => errno_name(number),
        None if error.kind() == io::ErrorKind::Interrupted => "CANCELLED".to_owned(),
        None => format!("{:?}", error.kind()),
    }
}
