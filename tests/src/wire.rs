//! Sockets in a pod whose every byte a test decides: `mesh-wire`, one order per line.

mod order;

pub use order::{Answer, Dialling, Listening, Order, Until, from_hex, to_hex};

use crate::binary;
use crate::error::{Error, Result};
use crate::heard::Heard;
use crate::http2::{HEAD_BYTES, Received};
use crate::network::Pod;
use crate::process::Process;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

/// How long an order may take; a socket of the program gives up before.
const LIMIT: Duration = Duration::from_secs(60);

/// A process in a pod, and its sockets by number.
#[derive(Debug)]
pub struct Wire {
    process: Process,
}

impl Wire {
    /// Starts one in a pod.
    ///
    /// # Errors
    /// If `mesh-wire` has not been built.
    pub fn start(pod: &Pod) -> Result<Self> {
        Ok(Self {
            process: pod.spawn(Command::new(binary::peer("mesh-wire")?))?,
        })
    }

    /// Listens; [`Wire::accept`] takes from the last listener.
    ///
    /// # Errors
    /// If the address is taken.
    pub fn listen(&mut self, address: SocketAddr, how: Listening) -> Result {
        self.ask(&Order::Listen { address, how }).map(drop)
    }

    /// Connects; gives the socket's number.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(&mut self, target: SocketAddr, how: Dialling) -> Result<usize> {
        Ok(self.ask(&Order::Connect { target, how })?.socket)
    }

    /// Accepts a connection; gives the socket's number.
    ///
    /// # Errors
    /// If none comes.
    pub fn accept(&mut self) -> Result<usize> {
        Ok(self.ask(&Order::Accept)?.socket)
    }

    /// Sends, each piece in a write of its own.
    ///
    /// # Errors
    /// If the other end has gone.
    pub fn send(&mut self, socket: usize, pieces: &[&[u8]]) -> Result {
        let pieces = pieces.iter().map(|piece| to_hex(piece)).collect();
        self.ask(&Order::Send { socket, pieces }).map(drop)
    }

    /// Sends the same bytes again and again.
    ///
    /// # Errors
    /// If the other end has gone.
    pub fn send_often(&mut self, socket: usize, bytes: &[u8], times: u32) -> Result {
        let piece = to_hex(bytes);
        self.ask(&Order::SendOften {
            socket,
            piece,
            times,
        })
        .map(drop)
    }

    /// Sends the same bytes again and again, until the other end has had enough; says how often that was.
    ///
    /// # Errors
    /// If the program has died, or the other end neither takes them nor leaves.
    pub fn flood(&mut self, socket: usize, bytes: &[u8], times: u32) -> Result<u64> {
        let piece = to_hex(bytes);
        let answer = self.ask(&Order::Flood {
            socket,
            piece,
            times,
        })?;
        Ok(answer.count)
    }

    /// Reads frames until `until`, or until the connection has ended.
    ///
    /// # Errors
    /// If neither comes.
    pub fn hear(&mut self, socket: usize, until: Until, heard: &mut Heard) -> Result {
        let answer = self.ask(&Order::Hear { socket, until })?;
        heard.take(&from_hex(&answer.bytes).unwrap_or_default());
        heard.is_over |= answer.is_over;
        Ok(())
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// If they do not come.
    pub fn receive(&mut self, socket: usize, bytes: usize) -> Result<Vec<u8>> {
        let answer = self.ask(&Order::Receive { socket, bytes })?;
        Ok(from_hex(&answer.bytes).unwrap_or_default())
    }

    /// Reads a frame of HTTP/2.
    ///
    /// # Errors
    /// If none comes.
    pub fn frame(&mut self, socket: usize) -> Result<Received> {
        let head = self.receive(socket, HEAD_BYTES)?;
        let (length, mut received) = Received::parse_head(head.try_into().unwrap_or_default());
        if length > 0 {
            received.payload = self.receive(socket, length)?;
        }
        Ok(received)
    }

    /// Reads and counts so many bytes.
    ///
    /// # Errors
    /// If they do not come.
    pub fn swallow(&mut self, socket: usize, bytes: u64) -> Result {
        self.ask(&Order::Swallow { socket, bytes }).map(drop)
    }

    /// Reads frames until so many streams have ended or been reset.
    ///
    /// # Errors
    /// If they do not.
    pub fn await_ends(&mut self, socket: usize, streams: u32) -> Result {
        self.ask(&Order::AwaitEnds { socket, streams }).map(drop)
    }

    /// Sends requests one after the other, each on a stream of its own, the next when its stream has ended; gives for
    /// each the time from the write to the read of the end, in ns.
    ///
    /// # Errors
    /// If an answer does not come.
    pub fn stamp(&mut self, socket: usize, requests: &[Vec<u8>]) -> Result<Vec<u64>> {
        let requests = requests.iter().map(|request| to_hex(request)).collect();
        Ok(self.ask(&Order::Stamp { socket, requests })?.times_ns)
    }

    /// Reads until the other end has finished; gives the number of bytes.
    ///
    /// # Errors
    /// If it does not finish.
    pub fn drain(&mut self, socket: usize) -> Result<u64> {
        Ok(self.ask(&Order::Drain { socket })?.count)
    }

    /// Ends a socket's own direction; the other one stays open.
    ///
    /// # Errors
    /// If the other end has gone.
    pub fn finish(&mut self, socket: usize) -> Result {
        self.ask(&Order::Finish { socket }).map(drop)
    }

    /// Closes a socket.
    ///
    /// # Errors
    /// If the program has died.
    pub fn close(&mut self, socket: usize) -> Result {
        self.ask(&Order::Close { socket }).map(drop)
    }

    /// Closes a socket by RST.
    ///
    /// # Errors
    /// If the program has died.
    pub fn abort(&mut self, socket: usize) -> Result {
        self.ask(&Order::Abort { socket }).map(drop)
    }

    fn ask(&mut self, order: &Order) -> Result<Answer> {
        let line = serde_json::to_string(order).expect("an order has no map with foreign keys");
        self.process.say(&line)?;
        let answer = self.process.line(LIMIT)?;
        let unreadable = |what: &str| Error::Unreadable {
            from: format!("mesh-wire: {}", line.chars().take(200).collect::<String>()),
            answer: what.to_owned(),
        };
        let answer: Answer =
            serde_json::from_str(&answer).map_err(|error| unreadable(&error.to_string()))?;
        match &answer.error {
            Some(error) => Err(unreadable(error)),
            None => Ok(answer),
        }
    }
}
