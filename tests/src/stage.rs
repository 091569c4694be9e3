//! Connections whose every byte the test decides, at both ends.

use crate::agent::Agent;
use crate::error::Result;
use crate::http2::{Block, client_begin, headers, message, server_begin};
use crate::load::SERVICE;
use crate::pair::{Members, Pair, TARGET_PORT};
use crate::wire::{Dialling, Listening, Wire};
use std::net::{Ipv4Addr, SocketAddr};

/// A pair of pods, a process in each that writes what it is told, and an agent.
#[derive(Debug)]
pub struct Stage {
    /// The client's sockets.
    pub client: Wire,
    /// The server's sockets.
    pub server: Wire,
    /// The agent that meters both.
    pub agent: Agent,
    /// The pods.
    pub pair: Pair,
}

/// One connection: the numbers of its sockets.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// At the client.
    pub client: usize,
    /// At the server.
    pub server: usize,
}

impl Stage {
    /// Sets the scene; the server listens.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn new(how: Listening) -> Result<Self> {
        Self::with(Members::Both, how)
    }

    /// Sets the scene with these pods in the mesh; the server listens.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn with(members: Members, how: Listening) -> Result<Self> {
        let pair = Pair::new(members)?;
        let client = Wire::start(&pair.client)?;
        let mut server = Wire::start(&pair.server)?;
        server.listen(anywhere(), how)?;
        let agent = pair.start_agent()?;
        Ok(Self {
            client,
            server,
            agent,
            pair,
        })
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// If it does not come about.
    pub fn connect(&mut self) -> Result<Ends> {
        Ok(Ends {
            client: self
                .client
                .connect(self.pair.target(), Dialling::default())?,
            server: self.server.accept()?,
        })
    }

    /// The client says these pieces, the server hears them.
    ///
    /// # Errors
    /// If they do not arrive.
    pub fn request(&mut self, ends: Ends, pieces: &[&[u8]]) -> Result {
        self.client.send(ends.client, pieces)?;
        self.server.swallow(ends.server, length(pieces))
    }

    /// The server says these pieces, the client hears them.
    ///
    /// # Errors
    /// If they do not arrive.
    pub fn respond(&mut self, ends: Ends, pieces: &[&[u8]]) -> Result {
        self.server.send(ends.server, pieces)?;
        self.client.swallow(ends.client, length(pieces))
    }

    /// The client ends a connection, then the server does.
    ///
    /// # Errors
    /// If the end does not arrive.
    pub fn close(&mut self, ends: Ends) -> Result {
        self.client.close(ends.client)?;
        self.server.drain(ends.server)?;
        self.server.close(ends.server)
    }

    /// A whole connection.
    ///
    /// # Errors
    /// As of its parts.
    pub fn exchange(&mut self, requests: &[&[u8]], responses: &[&[u8]]) -> Result {
        let ends = self.connect()?;
        self.request(ends, requests)?;
        self.respond(ends, responses)?;
        self.close(ends)
    }
}

/// Every address of a pod, at the server's port.
#[must_use]
pub fn anywhere() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, TARGET_PORT).into()
}

fn length(pieces: &[&[u8]]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// The path of a method of the load's service.
#[must_use]
pub fn path(method: &str) -> String {
    format!("/{SERVICE}/{method}")
}

/// A request of one message.
#[must_use]
pub fn request(stream: u32, method: &str) -> Vec<u8> {
    let block = Block::request_for(&path(method));
    [
        headers(stream, false, block.bytes()),
        message(stream, true, &[1; 40]),
    ]
    .concat()
}

/// Its answer: one message and a status.
#[must_use]
pub fn response(stream: u32, status: u8) -> Vec<u8> {
    [
        headers(stream, false, Block::response().bytes()),
        message(stream, false, &[2; 40]),
        headers(stream, true, Block::trailers(status).bytes()),
    ]
    .concat()
}

/// The first bytes of a client, these requests among them.
#[must_use]
pub fn begin(requests: &[Vec<u8>]) -> Vec<u8> {
    [client_begin(), requests.concat()].concat()
}

/// The first bytes of a server, these responses among them.
#[must_use]
pub fn answer(responses: &[Vec<u8>]) -> Vec<u8> {
    [server_begin(), responses.concat()].concat()
}
