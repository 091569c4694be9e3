//! A server that keeps a record of the calls it gets, and fails or dawdles when it is told to (`mesh-rpc witness`).
//!
//! It serves unary methods of [`crate::load::SERVICE`]: for a planned call the reply that was ordered, for any other request its
//! own name, a line feed and the request.

use crate::error::{Error, Result};
use crate::network::Pod;
use crate::process::Process;
use crate::rpc::Implementation;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// How long it may take to start or to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// Calls are failed or not as cards are dealt, from one deck for first tries, another for second ones, and so on: of each so many
/// tries exactly the share that was asked for, in an order that is chance. So there is next to none in sums.
pub const DECK: u32 = 20;

/// How a server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    /// It waits so long before it answers.
    pub delay_ms: u64,
    /// It fails so many of [`DECK`] tries with UNAVAILABLE.
    pub failing: u32,
}

impl Conduct {
    /// It answers after a while.
    #[must_use]
    pub const fn slow(delay_ms: u64) -> Self {
        Self {
            delay_ms,
            failing: 0,
        }
    }

    /// It fails a share of its calls; [`DECK`]: all.
    #[must_use]
    pub const fn failing(failing: u32) -> Self {
        Self {
            delay_ms: 0,
            failing,
        }
    }

    /// The same after a while.
    #[must_use]
    pub const fn after(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }
}

/// A call as its server saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// When it came, in microseconds since 1970.
    pub at_us: u64,
    /// Tries before this one (`grpc-previous-rpc-attempts`).
    pub previous: u32,
}

/// The server. It ends with its value.
#[derive(Debug)]
pub struct Witness {
    process: Process,
    conduct: Conduct,
}

impl Witness {
    /// Starts it in a pod and waits until it listens.
    ///
    /// # Errors
    /// If the address is taken.
    pub fn start(pod: &Pod, listen: SocketAddr) -> Result<Self> {
        let mut command = Implementation::Tonic.command("witness")?;
        command.args([&listen.to_string(), pod.name()]);
        let process = pod.spawn(command)?;
        process.line(LIMIT)?;
        Ok(Self {
            process,
            conduct: Conduct::default(),
        })
    }

    /// Changes how it behaves from the next call on.
    ///
    /// # Errors
    /// If it has gone.
    pub fn behave(&mut self, conduct: Conduct) -> Result {
        self.conduct = conduct;
        self.tell().map(drop)
    }

    /// The calls that came since it was last asked or told anything.
    ///
    /// # Errors
    /// If it has gone.
    pub fn seen(&mut self) -> Result<Vec<Sighting>> {
        self.tell()
    }

    /// Whatever it is told, it answers with what it has seen.
    fn tell(&mut self) -> Result<Vec<Sighting>> {
        let text = serde_json::to_string(&self.conduct).expect("a conduct has numbers only");
        self.process.say(&text)?;
        let line = self.process.line(LIMIT)?;
        serde_json::from_str(&line).map_err(|error| Error::Unreadable {
            from: "mesh-rpc witness".to_owned(),
            answer: format!("{error}: {line}"),
        })
    }
}
