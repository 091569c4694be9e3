//! Ends on the routed path: agents that stop, endpoints that terminate, callers that give up.

use mesh_tests::ask::{Asker, Question};
use mesh_tests::deadline::eventually;
use mesh_tests::features;
use mesh_tests::fleet::{Fleet, name, target};
use mesh_tests::http2::{Block, Received, client_begin, flag, frame, headers, kind, message};
use mesh_tests::load;
use mesh_tests::process::Process;
use mesh_tests::resident::Resident;
use mesh_tests::rpc::Implementation::Tonic;
use mesh_tests::sockets::{Connection, connections};
use mesh_tests::stage::anywhere;
use mesh_tests::wire::{Dialling, Wire};
use mesh_tests::{Error, Result};
use rustix::process::Signal;
use std::fs;
use std::time::Duration;

/// Far above what anything here takes, on a machine that has a lot else to do.
const LIMIT: Duration = Duration::from_secs(120);

/// For all the calls of the client that gives calls up, on a machine that has a lot else to do.
const ABANDON_LIMIT: Duration = Duration::from_secs(300);

/// What is said to be the last stream as long as it is not known (RFC 9113, 6.8).
const ANY_STREAM: u32 = u32::MAX >> 1;

/// What an [`Asker`] sends: the key by which it has a call of `Hold` released.
const KEY: &[u8] = b"ping";

fn feature(method: &str) -> String {
    format!("/{}/{method}", features::SERVICE)
}

/// A caller's connection to the Service, byte by byte.
struct Caller {
    wire: Wire,
    socket: usize,
}

impl Caller {
    fn connect(fleet: &Fleet) -> Result<Self> {
        let mut wire = Wire::start(&fleet.caller)?;
        let socket = wire.connect(target(), Dialling::default())?;
        wire.send(socket, &[&client_begin()])?;
        Ok(Self { wire, socket })
    }

    /// Calls `method` with [`KEY`] on a stream.
    fn call(&mut self, stream: u32, method: &str) -> Result {
        let block = Block::request_for(&feature(method));
        let head = headers(stream, false, block.bytes());
        let request = [head, message(stream, true, KEY)].concat();
        self.wire.send(self.socket, &[&request])
    }

    /// Reads up to the frame that is wanted, which comes first; gives those before it too.
    fn until(&mut self, wanted: impl Fn(&Received) -> bool) -> Result<Vec<Received>> {
        let mut frames = Vec::new();
        loop {
            let frame = self.wire.frame(self.socket)?;
            let is_wanted = wanted(&frame);
            frames.push(frame);
            if is_wanted {
                return Ok(frames);
            }
        }
    }

    fn acknowledge(&mut self, frames: &[Received]) -> Result {
        for ping in frames.iter().filter(|frame| is_ping(frame)) {
            let answer = frame(kind::PING, flag::ACK, 0, &ping.payload);
            self.wire.send(self.socket, &[&answer])?;
        }
        Ok(())
    }
}

fn is_ping(frame: &Received) -> bool {
    frame.kind == kind::PING && frame.flags & flag::ACK == 0
}

fn ends(stream: u32) -> impl Fn(&Received) -> bool {
    move |frame| frame.stream == stream && (frame.ends_stream() || frame.kind == kind::RST_STREAM)
}

/// Whether a stream was answered with [`KEY`] and trailers.
fn is_answered(frames: &[Received], stream: u32) -> bool {
    let mut own = frames.iter().filter(|frame| frame.stream == stream);
    let has_key = own.any(|frame| frame.kind == kind::DATA && frame.payload.ends_with(KEY));
    let last = frames.iter().rfind(|frame| frame.stream == stream);
    has_key && last.is_some_and(|last| last.kind == kind::HEADERS && last.ends_stream())
}

/// A routed Service with the server of every feature, and a call that is held there.
fn hold() -> Result<(Fleet, Process, Caller)> {
    let fleet = Fleet::new(1, 1)?;
    let server = features::serve(&fleet.pods[0], anywhere())?;
    let mut caller = Caller::connect(&fleet)?;
    caller.call(1, "Hold")?;
    // The server sends them at once, and nothing else before it is told to.
    caller.until(|frame| frame.kind == kind::HEADERS)?;
    Ok((fleet, server, caller))
}

#[test]
fn an_agent_that_is_told_to_stop_says_so_twice_and_finishes_what_is_under_way() -> Result {
    let (fleet, _server, mut caller) = hold()?;
    // Straight to the endpoint: not routed.
    let mut helper = Asker::start(&fleet.caller, fleet.endpoint(0))?;

    fleet.agent.signal(Signal::TERM)?;
    let mut seen = caller.until(|frame| frame.kind == kind::GOAWAY)?;
    let first = seen.last().and_then(Received::go_away);
    assert_eq!(first, Some((ANY_STREAM, 0)), "a warning: {seen:?}");
    // It was on its way when the warning came.
    caller.call(3, "Echo")?;
    let answer = caller.until(ends(3))?;
    assert!(is_answered(&answer, 3), "{answer:?}");
    seen.extend(answer);
    caller.acknowledge(&seen)?;
    if !seen.iter().any(is_ping) {
        let ping = caller.until(|frame| is_ping(frame) || frame.kind == kind::GOAWAY)?;
        caller.acknowledge(&ping)?;
        seen.extend(ping);
    }
    let is_last = |frame: &Received| frame.go_away().is_some_and(|(last, _)| last < ANY_STREAM);
    if !seen.iter().any(is_last) {
        seen.extend(caller.until(is_last)?);
    }
    let last = seen.iter().rfind(|frame| is_last(frame));
    assert_eq!(last.and_then(Received::go_away), Some((3, 0)), "{seen:?}");

    let released = helper.ask(&Question::new(&feature("Release"), &[]))?;
    assert_eq!(released.status, 0, "{released:?}");
    let held = caller.until(ends(1))?;
    assert!(is_answered(&held, 1), "{held:?}");
    // Ends once it is closed.
    caller.wire.drain(caller.socket)?;
    let log = fleet.agent.log();
    assert!(!log.contains("cut off"), "{log}");
    fleet.agent.ended(LIMIT)
}

#[test]
fn what_does_not_end_in_the_grace_period_is_reset() -> Result {
    let (fleet, _server, mut caller) = hold()?;
    fleet.agent.signal(Signal::TERM)?;
    let warned = caller.until(|frame| frame.kind == kind::GOAWAY)?;
    caller.acknowledge(&warned)?;
    // By RST_STREAM, or with its connection.
    let mut rest = Vec::new();
    while let Ok(frame) = caller.wire.frame(caller.socket) {
        caller.acknowledge(std::slice::from_ref(&frame)).ok();
        rest.push(frame);
    }
    assert!(!rest.iter().any(Received::ends_stream), "{rest:?}");
    eventually("the agent says so", LIMIT, || {
        let log = fleet.agent.log();
        if log.contains("cut off") {
            Ok(())
        } else {
            Err(log)
        }
    })?;
    fleet.agent.ended(LIMIT)
}

/// The proxy's connections to a pod.
fn upstream(fleet: &Fleet, number: usize) -> Result<Vec<Connection>> {
    let mut all = connections(&fleet.caller)?;
    all.retain(|connection| connection.peer == fleet.endpoint(number));
    Ok(all)
}

#[test]
fn a_terminating_endpoint_finishes_what_it_has_and_gets_nothing_new() -> Result {
    const CALLS: u32 = 50;
    let fleet = Fleet::new(2, 1)?;
    let _old = features::serve(&fleet.pods[0], anywhere())?;
    let _new = Tonic.serve(&fleet.pods[1], anywhere(), &name(1))?;
    let mut caller = Caller::connect(&fleet)?;
    caller.call(1, "Hold")?;
    caller.until(|frame| frame.kind == kind::HEADERS)?;
    // Of another connection of the pool, if callers do not share them.
    let mut idle = Asker::start(&fleet.caller, target())?;
    let answer = idle.ask(&Question::new(&feature("Echo"), &[]))?;
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(!upstream(&fleet, 0)?.is_empty());

    fleet.apply([fleet.terminating(0), fleet.ready(1)])?;
    for _ in 0..CALLS {
        let answer = idle.ask(&Question::new("/mesh.test.Echo/Say", &[]))?;
        assert_eq!(
            (answer.status, &*answer.identity),
            (0, &*name(1)),
            "{answer:?}"
        );
    }
    eventually("one connection is left", LIMIT, || {
        match upstream(&fleet, 0) {
            Ok(left) if left.len() == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;

    let mut helper = Wire::start(&fleet.caller)?;
    let socket = helper.connect(fleet.endpoint(0), Dialling::default())?;
    let mut helper = Caller {
        wire: helper,
        socket,
    };
    helper.wire.send(socket, &[&client_begin()])?;
    helper.call(1, "Release")?;
    helper.until(ends(1))?;
    helper.wire.close(socket)?;
    let held = caller.until(ends(1))?;
    assert!(is_answered(&held, 1), "{held:?}");
    eventually(
        "it is closed with its last call",
        LIMIT,
        || match upstream(&fleet, 0) {
            Ok(left) if left.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )?;
    let answer = idle.ask(&Question::new("/mesh.test.Echo/Say", &[]))?;
    assert_eq!(answer.status, 0, "{answer:?}");
    fleet.agent.terminate()
}

/// What the agent has of everything that a call takes, when nobody calls.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    active: u64,
    /// What the proxy has under way: connections and requests.
    proxy: [u64; 2],
    descriptors: usize,
    threads: usize,
    /// Connections to endpoints: the pool keeps them.
    upstream: usize,
    /// How many it says it has.
    pooled: u64,
    /// The other connections in the caller's pod.
    others: usize,
}

impl Holdings {
    fn of(fleet: &Fleet) -> Result<Self> {
        let metrics = fleet.agent.metrics()?;
        let status = fleet.agent.api("status")?;
        let (upstream, others): (Vec<_>, Vec<_>) = connections(&fleet.caller)?
            .into_iter()
            .partition(|connection| connection.peer == fleet.endpoint(0));
        let proc = |name: &str| {
            let path = format!("/proc/{}/{name}", fleet.agent.id());
            fs::read_dir(&path)
                .map(Iterator::count)
                .map_err(|source| Error::Io {
                    attempt: format!("list {path}"),
                    source,
                })
        };
        Ok(Self {
            active: metrics.count("mesh_rpc_active", &[]),
            proxy: ["connections", "requests"]
                .map(|name| status["proxy"][name].as_u64().unwrap_or(u64::MAX)),
            // One for each pooled connection.
            descriptors: proc("fd")? - upstream.len(),
            threads: proc("task")?,
            upstream: upstream.len(),
            pooled: metrics.count("mesh_upstream_connections_active", &[]),
            others: others.len(),
        })
    }
}

impl Holdings {
    fn is_settled(&self) -> bool {
        let is_quiet = (self.active, self.proxy, self.others) == (0, [0; 2], 0);
        is_quiet && self.pooled == self.upstream as u64
    }

    /// Whether these are no more than those. Some come and go by themselves: the thread that enters namespaces once a second,
    /// and what was asked for just now.
    fn is_within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors && self.threads <= before.threads
    }
}

/// Calls as told, giving them up at random; says how many ended by themselves and how many were given up.
fn abandon(fleet: &Fleet, calls: u32) -> Result<(u32, u32)> {
    let mut command = Tonic.command("abandon")?;
    command.args([&target().to_string(), "8", "4", &calls.to_string()]);
    let line = fleet.caller.spawn(command)?.line(ABANDON_LIMIT)?;
    let words: Vec<_> = line.split(' ').take(3).map(str::parse).collect();
    let [Ok(ended), Ok(given_up), Ok(failed)] = words[..] else {
        return Err(Error::Unreadable {
            from: "mesh-rpc abandon".to_owned(),
            answer: line,
        });
    };
    assert_eq!(failed, 0_u32, "{line}");
    Ok((ended, given_up))
}

#[test]
fn twenty_four_thousand_calls_given_up_at_random_leave_nothing_behind() -> Result {
    const GROWTH_MAX: u64 = 8 << 20;
    let fleet = Fleet::new(1, 1)?;
    let _server = load::serve(Tonic, &fleet.pods[0], anywhere())?;
    // What is made once is made now.
    abandon(&fleet, 2_000)?;
    let settled = |is_wanted: &dyn Fn(&Holdings) -> bool| {
        eventually("nobody calls", LIMIT, || match Holdings::of(&fleet) {
            Ok(holdings) if holdings.is_settled() && is_wanted(&holdings) => Ok(holdings),
            other => Err(format!("{other:?}")),
        })
    };
    let before = settled(&|_| true)?;
    let resident = Resident::of(fleet.agent.id());
    let resident_before = resident.begin()?;

    let (ended, given_up) = abandon(&fleet, 24_000)?;

    println!("{ended} ended, {given_up} given up");
    assert!(ended > 700 && given_up > 10_000, "{ended}, {given_up}");
    let after = settled(&|after| after.is_within(&before))?;
    // As many as were ever needed at once: each takes a hundred streams and more.
    assert!(
        after.upstream <= before.upstream.max(8),
        "{before:?}, {after:?}"
    );
    let left = resident.begin()?.saturating_sub(resident_before);
    println!("{left} bytes more than {resident_before}");
    assert!(left < GROWTH_MAX, "{left} bytes are left");
    let labels = [("reason", "table_full")];
    fleet
        .agent
        .expect("mesh_kernel_decisions_total", &labels, 0)?;
    fleet.agent.terminate()
}
