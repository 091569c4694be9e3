//! Pure decisions: facts in, verdict out. The hooks gather the facts and act on the verdict.
//!
//! [`admit`], [`table`], [`pick`] and [`endpoint`] are the steps of a connect; the end of a connection is
//! judged in [`crate::ending`].

use crate::AGENT_SOCKET_MARK;
use crate::address::SocketAddress;
use crate::counter::Counter;
use crate::socket::SocketState;
use crate::table::{EndpointRecord, TableHeader};

/// `IPPROTO_TCP`.
const TCP: u32 = 6;

/// What a connect hook knows of a socket before it looks anything up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFacts {
    /// `sk_protocol`.
    pub protocol: u32,
    /// Whether the socket carries part of an MPTCP connection: its own protocol is TCP.
    pub mptcp: bool,
    /// Index of the device the socket is bound to (`SO_BINDTODEVICE`), else zero.
    pub bound_device: u32,
    /// `SO_MARK`.
    pub mark: u32,
}

/// Why a connect goes on as if there were no mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassReason {
    /// Not TCP, or part of MPTCP, which makes connections of its own that no hook sees.
    NotTcp,
    /// Bound to a device: an endpoint may not be reachable through it.
    BoundDevice,
    /// A socket of the agent.
    OwnSocket,
    /// Neither a service nor an endpoint.
    NotService,
    /// The service has no table (any more).
    Unpublished,
    /// The table or the endpoint is not the service's own.
    TornTable,
}

impl PassReason {
    /// The counter of this reason.
    #[inline(always)]
    #[must_use]
    pub const fn counter(self) -> Counter {
        match self {
            Self::NotTcp => Counter::NotTcp,
            Self::BoundDevice => Counter::BoundDevice,
            Self::OwnSocket => Counter::OwnSocket,
            Self::NotService => Counter::NotService,
            Self::Unpublished => Counter::Unpublished,
            Self::TornTable => Counter::TornTable,
        }
    }
}

/// What becomes of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ConnectVerdict {
    /// Left alone.
    Pass(PassReason),
    /// To a service: goes to this endpoint instead.
    Rewrite(Target),
    /// To an endpoint's own address: goes there, and is attributed to its service.
    Attribute(Target),
    /// To a service without a usable endpoint: `EHOSTUNREACH`.
    Refuse {
        /// Destination id that the failure counts for.
        destination: u32,
    },
}

/// The endpoint of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The endpoint id.
    pub id: u32,
    /// What it says of itself.
    pub record: EndpointRecord,
}

/// Whether the mesh has anything to do with the socket.
///
/// # Errors
///
/// The reason why not.
#[inline(always)]
pub const fn admit(facts: SocketFacts) -> Result<(), PassReason> {
    if facts.protocol != TCP || facts.mptcp {
        return Err(PassReason::NotTcp);
    }
    if facts.bound_device != 0 {
        return Err(PassReason::BoundDevice);
    }
    if facts.mark == AGENT_SOCKET_MARK {
        return Err(PassReason::OwnSocket);
    }
    Ok(())
}

/// What a service's table offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum TableVerdict {
    /// Endpoints.
    Usable,
    /// No usable endpoint.
    Empty,
    /// It was written for another service.
    Torn,
}

/// Judges the header of the table that stands where `service` said.
#[inline(always)]
pub const fn table(header: TableHeader, service: u32) -> TableVerdict {
    if header.service != service {
        TableVerdict::Torn
    } else if header.length == 0 {
        TableVerdict::Empty
    } else {
        TableVerdict::Usable
    }
}

/// Maps a uniformly distributed number onto `0..length` without a division (Lemire 2019); `length` must not be zero.
#[inline(always)]
#[must_use]
pub const fn pick(random: u32, length: u32) -> u32 {
    (((random as u64) * (length as u64)) >> 32) as u32
}

/// Whether a remembered endpoint may be used again: still in the service's table, and not another one under the same id.
#[inline(always)]
#[must_use]
pub const fn still_usable(record: &EndpointRecord, service: u32, generation: u32) -> bool {
    record.service == service && record.generation == generation && record.usable != 0
}

/// The name that `getpeername` must give in place of `current`, `None` to leave it.
///
/// Only a socket that is connected to the very endpoint it was rewritten to has another name.
#[inline(always)]
#[must_use]
pub fn peer_name(state: &SocketState, current: &SocketAddress) -> Option<SocketAddress> {
    (state.rewritten == 1 && state.peer == *current).then_some(state.requested)
}
