//! The server: listeners that come and go by lines on standard input.

use mesh_tests::peer::{BANNER_LEN, Counts, Mode, ORDER_LEN, ServerEnding};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, LocalSet};

/// Connections waiting to be accepted: as many as the kernel allows, so that a burst is not dropped.
const BACKLOG: u32 = 4_096;

type SharedCounts = Rc<RefCell<Counts>>;

#[derive(Default)]
struct Listeners {
    tasks: BTreeMap<SocketAddr, JoinHandle<()>>,
    counts: BTreeMap<SocketAddr, SharedCounts>,
}

/// Serves until standard input ends.
pub(crate) fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut listeners = Listeners::default();
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let answer = match listeners.obey(&line).await {
                Ok(answer) => format!("ok {answer}\n"),
                Err(error) => format!("error {error}\n"),
            };
            let mut output = io::stdout().lock();
            output.write_all(answer.as_bytes())?;
            output.flush()?;
        }
        Ok(())
    })
}

impl Listeners {
    async fn obey(&mut self, line: &str) -> io::Result<String> {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["listen", address, mode, identity] => {
                let mode: Mode = serde_json::from_str(&format!("\"{mode}\""))?;
                self.listen(parse(address)?, mode, identity).await
            }
            ["close", address] => {
                let task = self.tasks.remove(&parse(address)?);
                let task = task.ok_or_else(|| io::Error::other("nobody listens there"))?;
                task.abort();
                // Ends only once the listener is closed; an error says that it was aborted, as asked.
                drop(task.await);
                Ok(String::new())
            }
            ["counts"] => {
                let counts: BTreeMap<_, _> = self
                    .counts
                    .iter()
                    .map(|(address, counts)| (address, *counts.borrow()))
                    .collect();
                Ok(serde_json::to_string(&counts)?)
            }
            _ => Err(io::Error::other("expected listen, close or counts")),
        }
    }

    async fn listen(
        &mut self,
        address: SocketAddr,
        mode: Mode,
        identity: &str,
    ) -> io::Result<String> {
        let counts = Rc::clone(self.counts.entry(address).or_default());
        let banner = padded(identity);
        let task = if mode == Mode::Datagram {
            let socket = UdpSocket::bind(address).await?;
            tokio::task::spawn_local(answer_datagrams(socket, banner, counts))
        } else {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            tokio::task::spawn_local(async move {
                // Out of descriptors is the one error here; the client sees its connection wait.
                while let Ok((stream, caller)) = listener.accept().await {
                    counts.borrow_mut().accepted += 1;
                    if mode == Mode::Flash {
                        // Fits the empty send buffer; a client that has gone is the client's affair.
                        if let Ok(sent) = stream.try_write(&banner) {
                            counts.borrow_mut().sent_bytes += sent as u64;
                        }
                        continue;
                    }
                    let banner = if mode == Mode::Caller {
                        padded(&caller.ip().to_canonical().to_string())
                    } else {
                        Rc::clone(&banner)
                    };
                    let conversation = converse(stream, mode, banner, Rc::clone(&counts));
                    tokio::task::spawn_local(async {
                        // A broken connection is what some tests make; its counts are kept.
                        drop(conversation.await);
                    });
                }
            })
        };
        self.tasks.insert(address, task);
        Ok(String::new())
    }
}

fn padded(identity: &str) -> Rc<[u8]> {
    format!("{identity:<BANNER_LEN$}").into_bytes().into()
}

fn parse(address: &str) -> io::Result<SocketAddr> {
    address.parse().map_err(io::Error::other)
}

async fn answer_datagrams(socket: UdpSocket, banner: Rc<[u8]>, counts: SharedCounts) {
    let mut buffer = [0; 2_048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let sent = socket.send_to(&banner, from).await.unwrap_or(0);
        let mut counts = counts.borrow_mut();
        counts.accepted += 1;
        counts.received_bytes += length as u64;
        counts.sent_bytes += sent as u64;
    }
}

async fn converse(
    mut stream: TcpStream,
    mode: Mode,
    banner: Rc<[u8]>,
    counts: SharedCounts,
) -> io::Result<()> {
    match mode {
        Mode::Banner | Mode::Caller => {
            stream.write_all(&banner).await?;
            counts.borrow_mut().sent_bytes += banner.len() as u64;
            drain(&mut stream, u64::MAX, &counts).await
        }
        Mode::Echo => echo(&mut stream, &counts).await,
        Mode::Sink => drain(&mut stream, u64::MAX, &counts).await,
        Mode::Command => obey_order(stream, &counts).await,
        Mode::Flash | Mode::Datagram => Ok(()),
    }
}

async fn echo(stream: &mut TcpStream, counts: &SharedCounts) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        counts.borrow_mut().received_bytes += length as u64;
        stream.write_all(&buffer[..length]).await?;
        counts.borrow_mut().sent_bytes += length as u64;
    }
}

/// Reads `length` bytes, or until the peer has finished.
async fn drain(stream: &mut TcpStream, mut length: u64, counts: &SharedCounts) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    while length > 0 {
        let room = usize::try_from(length).map_or(buffer.len(), |length| length.min(buffer.len()));
        let read = stream.read(&mut buffer[..room]).await?;
        if read == 0 {
            return Ok(());
        }
        counts.borrow_mut().received_bytes += read as u64;
        length -= read as u64;
    }
    Ok(())
}

async fn obey_order(mut stream: TcpStream, counts: &SharedCounts) -> io::Result<()> {
    let upload = stream.read_u64().await?;
    let mut download = stream.read_u64().await?;
    let ending = stream.read_u64().await?;
    counts.borrow_mut().received_bytes += ORDER_LEN as u64;
    drain(&mut stream, upload, counts).await?;
    let buffer = vec![0x6d; 65_536];
    while download > 0 {
        let room =
            usize::try_from(download).map_or(buffer.len(), |length| length.min(buffer.len()));
        stream.write_all(&buffer[..room]).await?;
        counts.borrow_mut().sent_bytes += room as u64;
        download -= room as u64;
    }
    if ending == ServerEnding::Reset.code() {
        // A reset throws away what the client has not acknowledged: then nobody knew the truth.
        while unacknowledged(&stream)? > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        return stream.set_zero_linger();
    }
    if ending == ServerEnding::Close.code() {
        stream.shutdown().await?;
    }
    drain(&mut stream, u64::MAX, counts).await
}

/// Bytes written that the client has not acknowledged.
fn unacknowledged(stream: &TcpStream) -> io::Result<i32> {
    let mut bytes = 0;
    // SAFETY: TIOCOUTQ (SIOCOUTQ for sockets) writes one int to the pointer, which is one.
    let done = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 {
        Ok(bytes)
    } else {
        Err(io::Error::last_os_error())
    }
}
