//! Where a call stands in a trace: read from the headers of its request in every form that is in use, and written back in the same.
//!
//! | form | headers | source |
//! |---|---|---|
//! | W3C | `traceparent`, `tracestate` | W3C Trace Context section 3 |
//! | B3, single | `b3` | openzipkin/b3-propagation |
//! | B3, multiple | `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled`, … | the same |
//! | binary | `grpc-trace-bin` | OpenCensus, `BinaryEncoding.md` |

mod base64;

use super::TraceParent;
use super::observed::hex;
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_common::meter::record::reason;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const B3: HeaderName = HeaderName::from_static("b3");
const B3_TRACE: HeaderName = HeaderName::from_static("x-b3-traceid");
const B3_SPAN: HeaderName = HeaderName::from_static("x-b3-spanid");
const B3_PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const B3_FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const GRPC_TRACE: HeaderName = HeaderName::from_static("grpc-trace-bin");

/// Version, and three fields with their numbers: trace, span, options.
const BINARY_LENGTH: usize = 29;

/// What a request says of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Propagated {
    /// The span that it belongs to.
    pub parent: Option<TraceParent>,
    /// Whether its spans are to be recorded; `None`: its caller left that to others.
    pub is_sampled: Option<bool>,
}

impl Propagated {
    /// Reads the headers of a request. The first form of the table that is well formed holds; what is malformed is ignored.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        w3c(headers)
            .or_else(|| b3(headers))
            .or_else(|| b3_multiple(headers))
            .or_else(|| binary(headers))
            .unwrap_or_default()
    }

    fn of(parent: TraceParent) -> Self {
        Self {
            parent: Some(parent),
            is_sampled: Some(parent.is_sampled),
        }
    }
}

/// Which calls are recorded from their beginning, so that those whom they reach know of their spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The share of those whose caller did not decide, in parts of 2^32 - 1.
    pub ratio: u32,
    /// Those whose caller records its span.
    pub parent: bool,
}

impl Recording {
    /// The span of a call, if it is recorded. `random`: a trace, a span.
    #[must_use]
    pub fn begin(self, said: &Propagated, random: (u128, u64)) -> Option<CallSpan> {
        let reasons = match said.is_sampled {
            Some(true) if self.parent => reason::PARENT,
            // The low bits of the trace decide, as whoever else takes samples by them has it.
            None if self.ratio > 0 && low_bits(random.0) <= self.ratio => reason::SAMPLED,
            Some(_) | None => return None,
        };
        let trace_id = match said.parent {
            Some(parent) => parent.trace_id,
            // Zero is no id.
            None => (random.0.max(1)).to_be_bytes(),
        };
        Some(CallSpan {
            trace_id,
            first: random.1,
            reasons,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is wanted"
)]
const fn low_bits(random: u128) -> u32 {
    random as u32
}

/// The spans of a call that is recorded: its own, and one for each try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSpan {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The ids of the spans follow each other.
    first: u64,
    /// Why it is recorded; bits of [`mesh_common::meter::record::reason`].
    pub reasons: u32,
}

impl CallSpan {
    /// Spans that nobody else knows of yet.
    #[must_use]
    pub const fn new(trace_id: [u8; 16], first: u64, reasons: u32) -> Self {
        Self {
            trace_id,
            first,
            reasons,
        }
    }

    /// The id of the call's own span.
    #[must_use]
    pub fn id(&self) -> [u8; 8] {
        self.nth(0)
    }

    /// The id of the span of a try; the first has number 0.
    #[must_use]
    pub fn attempt(&self, number: usize) -> [u8; 8] {
        self.nth(u64::try_from(number).unwrap_or(u64::MAX).saturating_add(1))
    }

    fn nth(&self, number: u64) -> [u8; 8] {
        // Zero is no id.
        self.first.wrapping_add(number).max(1).to_be_bytes()
    }

    /// Names the span of a try to whoever gets the request: in every form that its headers have, or else in W3C's.
    pub fn write(&self, headers: &mut HeaderMap, attempt: usize) {
        let span_id = self.attempt(attempt);
        let mut is_named = false;
        if headers.contains_key(B3) {
            self.write_b3(headers, span_id);
            is_named = true;
        }
        if headers.contains_key(B3_TRACE) || headers.contains_key(B3_SAMPLED) {
            self.write_b3_multiple(headers, span_id);
            is_named = true;
        }
        if headers.contains_key(GRPC_TRACE) {
            put(
                headers,
                GRPC_TRACE,
                &base64::encode(&self.to_binary(span_id)),
            );
            is_named = true;
        }
        if w3c(headers).is_none() {
            // It belongs to nothing.
            headers.remove(TRACESTATE);
        }
        if !is_named || headers.contains_key(TRACEPARENT) {
            let value = format!("00-{}-{}-01", digits(&self.trace_id), digits(&span_id));
            put(headers, TRACEPARENT, &value);
        }
    }

    fn write_b3(&self, headers: &mut HeaderMap, span_id: [u8; 8]) {
        let old = single(headers, &B3).unwrap_or_default();
        let is_debugged = old.split(|byte| *byte == b'-').nth(2) == Some(b"d");
        let state = if is_debugged { 'd' } else { '1' };
        let trace = self.b3_trace(old.split(|byte| *byte == b'-').next());
        let value = format!("{trace}-{}-{state}", digits(&span_id));
        put(headers, B3, &value);
    }

    fn write_b3_multiple(&self, headers: &mut HeaderMap, span_id: [u8; 8]) {
        let trace = self.b3_trace(single(headers, &B3_TRACE));
        put(headers, B3_TRACE, &trace);
        if let Some(caller) = headers.insert(B3_SPAN, value(&digits(&span_id))) {
            headers.insert(B3_PARENT, caller);
        }
        // The flag for debugging stands for the decision.
        if single(headers, &B3_FLAGS) != Some(b"1") {
            put(headers, B3_SAMPLED, "1");
        }
    }

    /// The trace's id, as long as the caller has it.
    fn b3_trace(&self, old: Option<&[u8]>) -> String {
        let all = digits(&self.trace_id);
        match old {
            Some(old) if old.len() == 16 && all.as_bytes().ends_with(old) => all[16..].to_owned(),
            _ => all,
        }
    }

    fn to_binary(self, span_id: [u8; 8]) -> [u8; BINARY_LENGTH] {
        let mut bytes = [0; BINARY_LENGTH];
        bytes[2..18].copy_from_slice(&self.trace_id);
        bytes[18] = 1;
        bytes[19..27].copy_from_slice(&span_id);
        bytes[27] = 2;
        bytes[28] = 1;
        bytes
    }
}

fn w3c(headers: &HeaderMap) -> Option<Propagated> {
    TraceParent::parse(single(headers, &TRACEPARENT)?).map(Propagated::of)
}

/// `trace-span-state-parent`, of which the last, or the last two, may be missing; or the state alone.
fn b3(headers: &HeaderMap) -> Option<Propagated> {
    let value = single(headers, &B3)?;
    let mut parts = value.split(|byte| *byte == b'-');
    let (first, span) = (parts.next()?, parts.next());
    let Some(span) = span else {
        return Some(Propagated {
            parent: None,
            is_sampled: Some(b3_state(first)?),
        });
    };
    let is_sampled = match parts.next() {
        Some(state) => Some(b3_state(state)?),
        None => None,
    };
    let parent = b3_parent(first, span, is_sampled)?;
    Some(Propagated {
        parent: Some(parent),
        is_sampled,
    })
}

fn b3_multiple(headers: &HeaderMap) -> Option<Propagated> {
    let is_debugged = single(headers, &B3_FLAGS) == Some(b"1");
    let state = single(headers, &B3_SAMPLED).and_then(b3_state);
    let is_sampled = if is_debugged { Some(true) } else { state };
    let ids = single(headers, &B3_TRACE).zip(single(headers, &B3_SPAN));
    let parent = ids.and_then(|(trace, span)| b3_parent(trace, span, is_sampled));
    (parent.is_some() || is_sampled.is_some()).then_some(Propagated { parent, is_sampled })
}

fn b3_state(state: &[u8]) -> Option<bool> {
    match state {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

fn b3_parent(trace: &[u8], span: &[u8], is_sampled: Option<bool>) -> Option<TraceParent> {
    let mut trace_id = [0; 16];
    match trace.len() {
        32 => trace_id = hex(trace)?,
        16 => trace_id[8..].copy_from_slice(&hex::<8>(trace)?),
        _ => return None,
    }
    let span_id = if span.len() == 16 { hex(span)? } else { [0; 8] };
    named(trace_id, span_id, is_sampled.unwrap_or(false))
}

/// Fields may be missing at the end; without a trace and a span it is none.
fn binary(headers: &HeaderMap) -> Option<Propagated> {
    let bytes: [u8; BINARY_LENGTH] = base64::decode(single(headers, &GRPC_TRACE)?)?;
    let has_fields = bytes[0] == 0 && bytes[1] == 0 && bytes[18] == 1 && bytes[27] == 2;
    let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
    trace_id.copy_from_slice(&bytes[2..18]);
    span_id.copy_from_slice(&bytes[19..27]);
    let parent = named(trace_id, span_id, bytes[28] & 1 == 1)?;
    has_fields.then(|| Propagated::of(parent))
}

fn named(trace_id: [u8; 16], span_id: [u8; 8], is_sampled: bool) -> Option<TraceParent> {
    let is_named = trace_id != [0; 16] && span_id != [0; 8];
    is_named.then_some(TraceParent {
        trace_id,
        span_id,
        is_sampled,
    })
}

/// The value of a header that stands there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

fn put(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    headers.insert(name, value(text));
}

/// Digits, dashes and letters are a value.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Lower-case hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A string takes everything.
        write!(text, "{byte:02x}").ok();
    }
    text
}

#[cfg(test)]
mod tests;
