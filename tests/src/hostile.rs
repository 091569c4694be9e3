//! A caller of the proxy whose every byte a test decides, and calls of others that go on beside it.

use crate::beside::Beside;
use crate::error::Result;
use crate::http2::{Block, headers, message};
use crate::load::{self, Call};
use crate::network::{Families, Pod};
use crate::process::Process;
use crate::resident::Resident;
use crate::routed::{Routed, await_routed, everything, reside};
use crate::rpc::Implementation::Tonic;
use crate::stage::{anywhere, path};
use crate::wire::{Dialling, Wire};

/// The scene. Fields end in this order.
#[derive(Debug)]
pub struct Scene {
    /// Two, so that there is one on each thread of a proxy that has two.
    beside: [Beside; 2],
    /// The hostile caller.
    pub client: Wire,
    _processes: Vec<Process>,
    _other: Option<Pod>,
    /// Agent and pods.
    pub routed: Routed,
}

impl Scene {
    /// Sets the scene; the server is a real one.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn open() -> Result<Self> {
        Self::with(|_| Ok(None))
    }

    /// [`Scene::open`] with the calls beside in a pod of their own, whose connections to endpoints are its own too.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn open_apart() -> Result<Self> {
        Self::with(|routed| {
            let node = &routed.pair.node;
            let network = &mut routed.pair.network;
            let pod = network.add_pod(node.cgroup(), "other-0", Families::V4)?;
            Ok(Some(pod))
        })
    }

    fn with(other: impl FnOnce(&mut Routed) -> Result<Option<Pod>>) -> Result<Self> {
        let mut routed = Routed::new(&everything())?;
        let other = other(&mut routed)?;
        let pair = &routed.pair;
        let server = load::serve(Tonic, &pair.server, anywhere())?;
        let pod = other.as_ref().unwrap_or(&pair.client);
        let resident = reside(pod)?;
        await_routed(&routed.agent, pod, pair.target())?;
        let begin = || Beside::begin(pod, pair.target(), &path("Chat"));
        Ok(Self {
            beside: [begin()?, begin()?],
            client: Wire::start(&pair.client)?,
            _processes: vec![server, resident],
            _other: other,
            routed,
        })
    }

    /// Connects the hostile caller.
    ///
    /// # Errors
    /// If the connection does not come about.
    pub fn connect(&mut self) -> Result<usize> {
        let target = self.routed.pair.target();
        self.client.connect(target, Dialling::default())
    }

    /// The agent's memory.
    #[must_use]
    pub fn resident(&self) -> Resident {
        Resident::of(self.routed.agent.id())
    }

    /// Everybody else goes on.
    ///
    /// # Errors
    /// If a call beside gets no reply.
    ///
    /// # Panics
    /// If one has ended.
    pub fn others_go_on(&mut self, what: &str) -> Result {
        for beside in &mut self.beside {
            beside.goes_on(what)?;
        }
        Ok(())
    }

    /// Awaits that nothing is left but the calls beside.
    ///
    /// # Errors
    /// If something is.
    pub fn expect_nothing_left(&self) -> Result {
        let left = self.beside.len() as u64;
        for name in ["mesh_rpc_active", "mesh_connections_active"] {
            let labels = [("path", "routed")];
            self.routed.agent.expect(name, &labels, left)?;
        }
        Ok(())
    }
}

/// What the server is asked for: replies of a size.
#[must_use]
pub fn order(reply_bytes: u32, replies: u8) -> [u8; load::ORDER_BYTES] {
    let call = Call {
        reply_bytes,
        replies,
        ..Call::unary("", 0)
    };
    call.order()
}

/// A whole unary request.
#[must_use]
pub fn get(stream: u32) -> Vec<u8> {
    let block = Block::request_for(&path("Get"));
    [
        headers(stream, false, block.bytes()),
        message(stream, true, &order(40, 1)),
    ]
    .concat()
}
