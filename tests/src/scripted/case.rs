//! What an endpoint does with a call, at which point, and what its caller gets.

use super::{SCRIPTED, Scripted};
use crate::deadline::eventually;
use crate::error::Result;
use crate::heard::Said;
use crate::http2::{Block, code, headers, message};
use crate::load::STATUS_NAMES;
use crate::metered::{Side, counts};
use crate::resident::Resident;
use crate::script::{Act, At, Point, oblige};
use crate::status::{CANCELLED, INTERNAL, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE};
use crate::wire::Until;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the agent may need more than at its beginning.
const COST_MAX: u64 = 48 << 20;

/// What the caller gets.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// This status of gRPC.
    Status(u8),
    /// One of these: the specifications leave it open.
    OneOf(&'static [u8]),
    /// A reset with this code.
    Reset(u32),
    /// The head as it is, with this status of HTTP; it stands for this one of gRPC.
    Http(u16, u8),
}

/// When the caller ends its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// At once.
    AtOnce,
    /// When the head of the answer has come.
    AfterHead,
    /// When a message has come.
    AfterData,
    /// Not at all.
    Never,
}

/// What an endpoint does with a call.
pub struct Case {
    what: String,
    script: Box<dyn Fn(Point) -> Act + Send + Sync>,
    wanted: Wanted,
    /// How often the endpoint sees the call.
    tries: u32,
    ends: Ends,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("what", &self.what)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

impl Case {
    /// An endpoint that does anything.
    #[must_use]
    pub fn new(
        what: impl Into<String>,
        wanted: Wanted,
        (tries, ends): (u32, Ends),
        script: impl Fn(Point) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self {
            what: what.into(),
            script: Box::new(script),
            wanted,
            tries,
            ends,
        }
    }

    /// The endpoint does it once it has the whole call, before it has said anything.
    #[must_use]
    pub fn before(
        what: impl Into<String>,
        wanted: Wanted,
        tries: u32,
        act: impl Fn(u32) -> Act + Send + Sync + 'static,
    ) -> Self {
        let silence = |_| Act::nothing();
        Self::at_end(what, wanted, (tries, Ends::AtOnce), silence, act)
    }

    /// It does it once its caller has its head.
    #[must_use]
    pub fn after_head(
        what: impl Into<String>,
        wanted: Wanted,
        act: impl Fn(u32) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::at_end(what, wanted, (1, Ends::AfterHead), oblige, act)
    }

    /// It does it once its caller has a message.
    #[must_use]
    pub fn after_data(
        what: impl Into<String>,
        wanted: Wanted,
        act: impl Fn(u32) -> Act + Send + Sync + 'static,
    ) -> Self {
        let head_and_message = |point: Point| {
            let head = headers(point.stream, false, Block::response().bytes());
            Act::say([head, message(point.stream, false, &[2; 40])].concat())
        };
        Self::at_end(what, wanted, (1, Ends::AfterData), head_and_message, act)
    }

    /// The endpoint does it at the call's end; before that it has said something to its head.
    fn at_end(
        what: impl Into<String>,
        wanted: Wanted,
        tries_and_ends: (u32, Ends),
        to_head: fn(Point) -> Act,
        act: impl Fn(u32) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::new(what, wanted, tries_and_ends, move |point| match point.at {
            At::Head => to_head(point),
            At::Data => Act::nothing(),
            At::End => act(point.stream),
        })
    }

    fn path(&self) -> String {
        format!("/case/{}", self.what.replace(' ', "-"))
    }
}

/// Error codes and what they stand for before the head of an answer (gRPC `PROTOCOL-HTTP2.md`, "Errors").
pub const RESETS: [(u32, u8); 13] = [
    (code::NO_ERROR, INTERNAL),
    (code::PROTOCOL_ERROR, INTERNAL),
    (code::INTERNAL_ERROR, INTERNAL),
    (code::FLOW_CONTROL_ERROR, INTERNAL),
    (5, INTERNAL),
    (code::FRAME_SIZE_ERROR, INTERNAL),
    (code::REFUSED_STREAM, UNAVAILABLE),
    (code::CANCEL, CANCELLED),
    (code::COMPRESSION_ERROR, INTERNAL),
    (10, INTERNAL),
    (code::ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED),
    (code::INADEQUATE_SECURITY, PERMISSION_DENIED),
    (0xfff, INTERNAL),
];

/// Makes the calls one after the other, on one connection; then their statuses must be those that were counted.
///
/// # Errors
/// If one does not end, or another one is counted.
///
/// # Panics
/// If a caller gets something else, or it costs too much memory.
pub fn check_all(scene: &mut Scripted, cases: Vec<Case>) -> Result {
    let resident = Resident::of(scene.agent.id());
    let first = resident.begin()?;
    let mut statuses = BTreeMap::<String, u64>::new();
    let mut wrong = Vec::new();
    for case in cases {
        let path = case.path();
        let Case {
            what,
            script,
            wanted,
            tries,
            ends,
        } = case;
        scene.scripts.put(&path, script);
        let said = make(scene, &path, ends)?;
        let seen = scene.scripts.seen(&path).calls;
        match judge(wanted, &said) {
            Some(status) if seen == tries => {
                let name = STATUS_NAMES[usize::from(status)].to_owned();
                *statuses.entry(name).or_default() += 1;
            }
            _ => wrong.push(format!(
                "{what}: {said:?} of {seen} tries, not {wanted:?} of {tries}"
            )),
        }
        scene.beside.goes_on(&what)?;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let cost = resident.peak()?.saturating_sub(first);
    assert!(cost < COST_MAX, "{cost} bytes");
    eventually("the statuses", Duration::from_secs(10), || {
        let metrics = scene.agent.metrics().map_err(|error| error.to_string())?;
        let mut seen = BTreeMap::<String, u64>::new();
        for ((_, status), count) in counts(&metrics, Side::Client, &[("path", "routed")]) {
            *seen.entry(status).or_default() += count;
        }
        if seen == statuses {
            return Ok(());
        }
        Err(format!("{seen:?} instead of {statuses:?}"))
    })
}

/// Makes a call: its end follows what the endpoint says of its head.
fn make(scene: &mut Scripted, path: &str, ends: Ends) -> Result<Said> {
    let stream = scene.begin(SCRIPTED, &Block::request_for(path), false)?;
    match ends {
        Ends::AtOnce | Ends::Never => {}
        Ends::AfterHead => scene.caller.hear(SCRIPTED, Until::Blocks(1))?,
        Ends::AfterData => scene.caller.hear(SCRIPTED, Until::Data(45))?,
    }
    if ends != Ends::Never {
        let last = message(stream, true, &[1; 40]);
        scene.caller.send(SCRIPTED, &last)?;
    }
    scene.caller.end(SCRIPTED, stream)
}

/// The status that a call's end stands for; none if it is not as wanted.
fn judge(wanted: Wanted, said: &Said) -> Option<u8> {
    match wanted {
        Wanted::Status(status) => said.grpc_status().filter(|&seen| seen == status),
        Wanted::OneOf(statuses) => said.grpc_status().filter(|seen| statuses.contains(seen)),
        Wanted::Reset(code) => {
            let known = RESETS.iter().find(|(known, _)| *known == code)?;
            (said.reset == Some(code)).then_some(known.1)
        }
        Wanted::Http(http, status) => {
            let is_passed_on = said.field(":status") == Some(&*http.to_string());
            (is_passed_on && said.is_ended).then_some(status)
        }
    }
}
