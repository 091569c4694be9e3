//! `connect()`: a service address becomes the address of one of the service's endpoints, or, if the service is routed, of the
//! proxy's listener in the caller's own network namespace.
//!
//! Runs only for an unconnected socket, under its lock, before routing and source address selection; so an unbound
//! socket has no local address yet. May run again on the same socket, after a failed attempt or a disconnect.
//!
//! Oldest kernel: 6.1, which gives `bpf_set_retval` to this hook (older ones could refuse with `EPERM` only).

use crate::ctx::{Family, SocketCall};
use crate::{maps, source, tally};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_prandom_u32, bpf_ktime_get_ns};
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use aya_log_ebpf::debug;
use mesh_common::address::{Address, SocketAddress};
use mesh_common::affinity::{self, AffinityEntry, Finding, RememberedEndpoint, Tag};
use mesh_common::capture::{self, Arrival, Bypass, ConsumerKey, ListenerKey};
use mesh_common::connection::{ConnectError, ConnectionKey};
use mesh_common::counter::Counter;
use mesh_common::decide::{self, ConnectVerdict, PassReason, Routed, TableVerdict, Target};
use mesh_common::socket::{Metering, NO_ENDPOINT, Phase, Protocol, Rewrite, SocketState};
use mesh_common::table::{TableHeader, flag};

const REFUSE: i32 = 0;
const ALLOW: i32 = 1;

const ENOMEM: i32 = 12;
const ECONNREFUSED: i32 = 111;
const EHOSTUNREACH: i32 = 113;

/// `connect()` of an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    connect(&SocketCall::new(&ctx, Family::V4))
}

/// `connect()` of an IPv6 socket, to IPv6 or to v4-mapped IPv4.
#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    connect(&SocketCall::new(&ctx, Family::V6))
}

#[inline(always)]
fn connect(call: &SocketCall) -> i32 {
    let requested = call.address();
    match judge(call, &requested) {
        ConnectVerdict::Pass(reason) => {
            maps::count(reason.counter());
            ALLOW
        }
        ConnectVerdict::Rewrite(target) => {
            if !call.set_address(&target.record.address) {
                // An IPv6 endpoint in the table of an IPv4 service.
                maps::count(Counter::TornTable);
                return ALLOW;
            }
            debug!(
                call,
                "service {}: {:i}:{} is endpoint {}, {:i}:{}",
                target.record.service,
                requested.address.octets(),
                requested.port(),
                target.id,
                target.record.address.address.octets(),
                target.record.address.port()
            );
            maps::count(Counter::Rewritten);
            remember(call, requested, Goal::endpoint(&target, Rewrite::Endpoint));
            ALLOW
        }
        ConnectVerdict::Attribute(target) => {
            debug!(
                call,
                "service {}: endpoint {}, {:i}:{}, asked for by its own address",
                target.record.service,
                target.id,
                requested.address.octets(),
                requested.port()
            );
            maps::count(Counter::DirectEndpoint);
            remember(call, requested, Goal::endpoint(&target, Rewrite::None));
            ALLOW
        }
        ConnectVerdict::Capture {
            listener,
            service,
            destination,
        } => {
            let goal = Goal {
                peer: listener,
                rewrite: Rewrite::Listener,
                service,
                endpoint: NO_ENDPOINT,
                destination,
                // The proxy counts the RPCs.
                protocol: Protocol::Other as u32,
            };
            to_listener(call, requested, goal)
        }
        ConnectVerdict::Refuse { destination, error } => {
            debug!(
                call,
                "refused: {:i}:{}",
                requested.address.octets(),
                requested.port()
            );
            tally::refused(&caller_key(call, destination), error, 0);
            call.set_error(if error == ConnectError::ConnectionRefused {
                ECONNREFUSED
            } else {
                EHOSTUNREACH
            });
            REFUSE
        }
    }
}

/// Goes to a listener of the proxy, which must be able to learn what was asked for.
#[inline(always)]
fn to_listener(call: &SocketCall, requested: SocketAddress, goal: Goal) -> i32 {
    debug!(
        call,
        "service {}: {:i}:{} goes to the proxy at port {}",
        goal.service,
        requested.address.octets(),
        requested.port(),
        goal.peer.port()
    );
    let listener = goal.peer;
    if !remember(call, requested, goal) || !call.set_address(&listener) {
        call.set_error(ENOMEM);
        return REFUSE;
    }
    maps::count(Counter::Routed);
    ALLOW
}

#[inline(always)]
fn caller_key(call: &SocketCall, destination: u32) -> ConnectionKey {
    ConnectionKey {
        source: source::at_connect(call.netns_cookie()),
        destination,
    }
}

#[inline(always)]
fn judge(call: &SocketCall, requested: &SocketAddress) -> ConnectVerdict {
    if let Err(reason) = decide::admit(call.facts()) {
        return ConnectVerdict::Pass(reason);
    }
    settle_earlier_attempt(call);
    if let Some(service) = maps::frontend(requested) {
        return to_service(call, requested, service);
    }
    let Some(id) = maps::endpoint_at(requested) else {
        return ConnectVerdict::Pass(PassReason::NotService);
    };
    match maps::endpoint(id) {
        Some(record) if record.address == *requested => {
            ConnectVerdict::Attribute(Target { id, record })
        }
        Some(_) | None => ConnectVerdict::Pass(PassReason::TornTable),
    }
}

/// Closes the books on an earlier `connect()` of the same socket: no SYN came of it, or we would have seen its end.
#[inline(always)]
fn settle_earlier_attempt(call: &SocketCall) {
    let Some(stored) = maps::socket(call.socket()) else {
        return;
    };
    let state = stored.get();
    if state.phase == Phase::Attempted as u32 {
        tally::failed(&stored, &state, ConnectError::Local, 0);
    }
    stored.forget_rewrite();
}

#[inline(always)]
fn to_service(call: &SocketCall, requested: &SocketAddress, service: u32) -> ConnectVerdict {
    let Some(offset) = maps::table_of(service) else {
        return ConnectVerdict::Pass(PassReason::Unpublished);
    };
    let Some(header) = maps::table_header(offset) else {
        return ConnectVerdict::Pass(PassReason::TornTable);
    };
    let table = decide::table(header, service);
    if table != TableVerdict::Torn
        && let Some(verdict) = capture(call, requested, &header)
    {
        return verdict;
    }
    match table {
        TableVerdict::Torn => ConnectVerdict::Pass(PassReason::TornTable),
        TableVerdict::Empty => {
            maps::count(Counter::NoEndpoint);
            ConnectVerdict::Refuse {
                destination: header.destination,
                error: ConnectError::HostUnreachable,
            }
        }
        TableVerdict::Usable => choose(call, offset, &header).map_or(
            ConnectVerdict::Pass(PassReason::TornTable),
            ConnectVerdict::Rewrite,
        ),
    }
}

/// What becomes of a connect to a routed service; `None`: the service is not routed for this caller, or there is no listener
/// whose agent moves and it goes on directly.
#[inline(always)]
fn capture(
    call: &SocketCall,
    requested: &SocketAddress,
    header: &TableHeader,
) -> Option<ConnectVerdict> {
    let netns_cookie = call.netns_cookie();
    match decide::routed(header.flags) {
        Routed::Never => return None,
        Routed::ForConsumers => {
            let key = ConsumerKey {
                service: header.service,
                namespace: maps::caller_in(netns_cookie)?.namespace(),
            };
            if !maps::capture::is_consumer(&key) {
                return None;
            }
        }
        Routed::Always => {}
    }
    let key = ListenerKey::new(netns_cookie, &requested.address);
    let reason = match maps::capture::listener_port(&key) {
        Some(port) if is_agent_moving() => {
            return Some(ConnectVerdict::Capture {
                listener: key.address(port),
                service: header.service,
                destination: header.routed_destination,
            });
        }
        Some(_) => Bypass::Stalled,
        None => unlistened(netns_cookie),
    };
    tally::bypassed(&caller_key(call, header.routed_destination), reason);
    (header.flags & flag::CLOSED_ON_FAILURE != 0).then_some(ConnectVerdict::Refuse {
        destination: header.routed_destination,
        error: ConnectError::ConnectionRefused,
    })
}

/// Whether the agent takes what comes to its listeners. They stay when it hangs.
#[inline(always)]
fn is_agent_moving() -> bool {
    // SAFETY: has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    capture::is_moving(maps::capture::heartbeat_ns(), now_ns)
}

/// Why there is no listener; has the agent open one if it has not tried.
#[inline(always)]
fn unlistened(netns_cookie: u64) -> Bypass {
    if maps::capture::is_unlistened(netns_cookie) {
        return Bypass::BindFailed;
    }
    maps::capture::arrive(&Arrival {
        netns_cookie,
        process: (bpf_get_current_pid_tgid() >> 32) as u32,
        reserved: 0,
    });
    Bypass::NoListener
}

/// Chooses an endpoint of a table that has some; `None`: the table is torn.
#[inline(always)]
fn choose(call: &SocketCall, offset: u32, header: &TableHeader) -> Option<Target> {
    if header.affinity_timeout_s == 0 {
        // SAFETY: has no preconditions.
        let random = unsafe { bpf_get_prandom_u32() };
        return target(offset, header, random);
    }
    choose_with_affinity(call, offset, header)
}

#[inline(always)]
fn choose_with_affinity(call: &SocketCall, offset: u32, header: &TableHeader) -> Option<Target> {
    let mut bound = call.socket().bound_address(call.family());
    if bound.is_unspecified() {
        bound = Address::UNSPECIFIED;
    }
    let tag = Tag::new(header.service, call.netns_cookie(), bound);
    let ways = maps::affinity(tag.set())?;
    // SAFETY: has no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let expires_ns = affinity::expiry_ns(now_ns, header.affinity_timeout_s);

    let way = match affinity::find(tag, now_ns, |way| ways.entry(way)) {
        Finding::Remembered { way, endpoint } => {
            if let Some(record) = maps::endpoint(endpoint.id)
                && decide::still_usable(&record, header.service, endpoint.generation)
            {
                ways.refresh(way, expires_ns);
                return Some(Target {
                    id: endpoint.id,
                    record,
                });
            }
            Some(way)
        }
        Finding::Free { way } => Some(way),
        Finding::Full => {
            maps::count(Counter::AffinityFull);
            None
        }
    };

    let first = affinity::first_choice(tag, now_ns, header.affinity_timeout_s);
    let target = target(offset, header, first)?;
    if let Some(way) = way {
        let endpoint = RememberedEndpoint {
            id: target.id,
            generation: target.record.generation,
        };
        ways.store(way, &AffinityEntry::new(tag, endpoint, expires_ns));
    }
    Some(target)
}

/// The endpoint in the row that `random` picks; `None`: the table is torn.
#[inline(always)]
fn target(offset: u32, header: &TableHeader, random: u32) -> Option<Target> {
    let id = maps::table_endpoint(offset, decide::pick(random, header.length))?;
    let record = maps::endpoint(id)?;
    (record.service == header.service).then_some(Target { id, record })
}

/// Where a connection goes, and what it counts for.
struct Goal {
    peer: SocketAddress,
    rewrite: Rewrite,
    service: u32,
    endpoint: u32,
    destination: u32,
    protocol: u32,
}

impl Goal {
    #[inline(always)]
    fn endpoint(target: &Target, rewrite: Rewrite) -> Self {
        Self {
            peer: target.record.address,
            rewrite,
            service: target.record.service,
            endpoint: target.id,
            destination: target.record.destination,
            protocol: target.record.protocol,
        }
    }
}

/// Leaves a note on the socket for `sock_ops`, `getpeername` and the agent; says whether there was memory for it.
#[inline(always)]
fn remember(call: &SocketCall, requested: SocketAddress, goal: Goal) -> bool {
    let netns_cookie = call.netns_cookie();
    let state = SocketState {
        // SAFETY: has no preconditions.
        started_ns: unsafe { bpf_ktime_get_ns() },
        established_ns: 0,
        sampled_ns: 0,
        netns_cookie,
        requested,
        peer: goal.peer,
        phase: Phase::Attempted as u32,
        rewritten: goal.rewrite as u32,
        service: goal.service,
        endpoint: goal.endpoint,
        source: source::at_connect(netns_cookie),
        destination: goal.destination,
        protocol: goal.protocol,
        metering: Metering::Undecided as u32,
    };
    let is_stored = maps::store_socket(call.socket(), &state);
    if !is_stored {
        maps::count(Counter::SocketStateFull);
    }
    is_stored
}
