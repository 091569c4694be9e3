//! A call of somebody else that goes on and on, whatever becomes of others.

use crate::error::Result;
use crate::heard::Heard;
use crate::http2::{Block, client_begin, headers, message};
use crate::load::Call;
use crate::network::Pod;
use crate::wire::{Dialling, Until, Wire};
use std::net::SocketAddr;

/// Bytes of a reply.
const REPLY_BYTES: u32 = 40;

/// What a reply takes in DATA frames.
pub const REPLY: u64 = REPLY_BYTES as u64 + 5;

/// The call. It ends with its value.
#[derive(Debug)]
pub struct Beside {
    wire: Wire,
    socket: usize,
    heard: Heard,
    replies: u64,
}

impl Beside {
    /// Begins it on a connection of its own; its method has a reply of 40 bytes for each message.
    ///
    /// # Errors
    /// If there is no reply.
    ///
    /// # Panics
    /// If it has ended.
    pub fn begin(pod: &Pod, target: SocketAddr, path: &str) -> Result<Self> {
        let mut wire = Wire::start(pod)?;
        let socket = wire.connect(target, Dialling::default())?;
        let head = headers(1, false, Block::request_for(path).bytes());
        wire.send(socket, &[&client_begin(), &head])?;
        let mut beside = Self {
            wire,
            socket,
            heard: Heard::new(),
            replies: 0,
        };
        beside.goes_on("the beginning")?;
        Ok(beside)
    }

    /// One message and its reply.
    ///
    /// # Errors
    /// If none comes.
    ///
    /// # Panics
    /// If the call has ended.
    pub fn goes_on(&mut self, what: &str) -> Result {
        let call = Call {
            reply_bytes: REPLY_BYTES,
            ..Call::unary("", 0)
        };
        let order = message(1, false, &call.order());
        self.wire.send(self.socket, &[&order])?;
        self.replies += 1;
        let until = Until::Data(REPLY);
        self.wire.hear(self.socket, until, &mut self.heard)?;
        let said = self.heard.on(1);
        assert_eq!(said.data_bytes, self.replies * REPLY, "{what}: {said:?}");
        assert!(!said.is_ended && said.reset.is_none(), "{what}: {said:?}");
        Ok(())
    }
}
