//! Pure decisions: facts in, verdict out. The hooks gather the facts and act on the verdict.
//!
//! [`admit`], [`table()`], [`pick`] and [`still_usable`] are the steps of a connect; the end of a connection is
//! judged in [`crate::ending`].

use crate::AGENT_SOCKET_MARK;
use crate::address::SocketAddress;
use crate::connection::ConnectError;
use crate::counter::Counter;
use crate::socket::{Rewrite, SocketState};
use crate::table::{EndpointRecord, TableHeader, flag};

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
    /// To a routed service: goes to a listener of the proxy instead.
    Capture {
        /// Where it listens.
        listener: SocketAddress,
        /// The service.
        service: u32,
        /// Destination id that the connection counts for.
        destination: u32,
    },
    /// To an endpoint's own address: goes there, and is attributed to its service.
    Attribute(Target),
    /// To a service without a usable endpoint: `EHOSTUNREACH`; to a routed one that fails closed, without a listener:
    /// `ECONNREFUSED`.
    Refuse {
        /// Destination id that the failure counts for.
        destination: u32,
        /// What the application is told.
        error: ConnectError,
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

/// Which callers' connects go to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Routed {
    /// Nobody's.
    Never,
    /// Those of namespaces that `CONSUMERS` names.
    ForConsumers,
    /// Everybody's.
    Always,
}

/// Judges the flags of a service's table.
#[inline(always)]
pub const fn routed(flags: u32) -> Routed {
    if flags & flag::ROUTED != 0 {
        Routed::Always
    } else if flags & flag::ROUTED_FOR_CONSUMERS != 0 {
        Routed::ForConsumers
    } else {
        Routed::Never
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
/// Only a socket that is connected to the very address it was rewritten to has another name.
#[inline(always)]
#[must_use]
pub fn peer_name(state: &SocketState, current: &SocketAddress) -> Option<SocketAddress> {
    (state.rewritten != Rewrite::None as u32 && state.peer == *current).then_some(state.requested)
}

#[cfg(test)]
mod tests {
    use super::{
        PassReason, Routed, SocketFacts, TableVerdict, admit, peer_name, pick, routed,
        still_usable, table,
    };
    use crate::AGENT_SOCKET_MARK;
    use crate::address::{Address, SocketAddress};
    use crate::socket::{Phase, Rewrite, SocketState};
    use crate::table::{EndpointRecord, TableHeader, flag};
    use proptest::prelude::proptest;

    const PLAIN: SocketFacts = SocketFacts {
        protocol: 6,
        mptcp: false,
        bound_device: 0,
        mark: 0,
    };

    #[test]
    fn only_plain_tcp_sockets_are_admitted() {
        let rows = [
            (PLAIN, Ok(())),
            (SocketFacts { mark: 1, ..PLAIN }, Ok(())),
            (
                SocketFacts {
                    protocol: 17,
                    ..PLAIN
                },
                Err(PassReason::NotTcp),
            ),
            (
                SocketFacts {
                    protocol: 262,
                    ..PLAIN
                },
                Err(PassReason::NotTcp),
            ),
            (
                SocketFacts {
                    mptcp: true,
                    ..PLAIN
                },
                Err(PassReason::NotTcp),
            ),
            (
                SocketFacts {
                    bound_device: 3,
                    ..PLAIN
                },
                Err(PassReason::BoundDevice),
            ),
            (
                SocketFacts {
                    mark: AGENT_SOCKET_MARK,
                    ..PLAIN
                },
                Err(PassReason::OwnSocket),
            ),
        ];
        for (facts, verdict) in rows {
            assert_eq!(admit(facts), verdict, "{facts:?}");
        }
    }

    #[test]
    fn a_table_is_usable_only_by_its_own_service() {
        let header = |service, length| TableHeader {
            service,
            length,
            affinity_timeout_s: 0,
            flags: 0,
            destination: 0,
            routed_destination: 0,
        };
        assert_eq!(table(header(5, 3), 5), TableVerdict::Usable);
        assert_eq!(table(header(5, 0), 5), TableVerdict::Empty);
        assert_eq!(table(header(6, 3), 5), TableVerdict::Torn);
        assert_eq!(table(header(6, 0), 5), TableVerdict::Torn);
    }

    #[test]
    fn a_route_for_all_callers_goes_before_those_for_some() {
        for (flags, expected) in [
            (0, Routed::Never),
            (flag::CLOSED_ON_FAILURE, Routed::Never),
            (flag::ROUTED_FOR_CONSUMERS, Routed::ForConsumers),
            (flag::ROUTED, Routed::Always),
            (flag::ROUTED | flag::ROUTED_FOR_CONSUMERS, Routed::Always),
        ] {
            assert_eq!(routed(flags), expected, "{flags}");
        }
    }

    #[test]
    fn a_removed_or_replaced_endpoint_is_not_used_again() {
        let record = EndpointRecord {
            address: SocketAddress::UNSPECIFIED,
            service: 5,
            destination: 0,
            generation: 2,
            usable: 1,
            protocol: 0,
        };
        assert!(still_usable(&record, 5, 2));
        assert!(!still_usable(&record, 6, 2), "of another service");
        assert!(
            !still_usable(&record, 5, 1),
            "another endpoint under the same id"
        );
        assert!(
            !still_usable(
                &EndpointRecord {
                    usable: 0,
                    ..record
                },
                5,
                2
            ),
            "removed"
        );
    }

    #[test]
    fn only_the_peer_it_was_rewritten_to_has_another_name() {
        let requested = SocketAddress::new(Address::from_v4([10, 96, 0, 1]), 80);
        let peer = SocketAddress::new(Address::from_v4([10, 0, 0, 1]), 8080);
        let state = SocketState {
            started_ns: 0,
            established_ns: 0,
            sampled_ns: 0,
            netns_cookie: 0,
            requested,
            peer,
            phase: Phase::Established as u32,
            rewritten: 1,
            service: 0,
            endpoint: 0,
            source: 0,
            destination: 0,
            protocol: 0,
            metering: 0,
        };
        let other_port = SocketAddress::new(peer.address, 8081);
        assert_eq!(peer_name(&state, &peer), Some(requested));
        let captured = SocketState {
            rewritten: Rewrite::Listener as u32,
            ..state
        };
        assert_eq!(peer_name(&captured, &peer), Some(requested));
        assert_eq!(peer_name(&state, &other_port), None);
        assert_eq!(
            peer_name(
                &SocketState {
                    rewritten: 0,
                    ..state
                },
                &peer
            ),
            None
        );
    }

    proptest! {
        #[test]
        fn a_pick_lies_in_the_table(random: u32, length in 1_u32..) {
            assert!(pick(random, length) < length);
        }

        #[test]
        fn picks_are_even(length in 1_u32..1_000) {
            // The row changes at even steps of the random number.
            let step = u64::from(u32::MAX) / u64::from(length);
            for row in 0..length {
                let middle = u64::from(row) * step + step / 2;
                assert!(pick(u32::try_from(middle).unwrap(), length).abs_diff(row) <= 1);
            }
        }
    }
}
