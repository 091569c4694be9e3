//! Single RPCs, as far as they were chosen to be looked at: sampled, slow, failed or tapped.

use super::{CallSpan, DestinationLabels, LocalReply, Path, SourceLabels};
use crate::grpc::GrpcPath;
use mesh_common::meter::StatusCode;
use mesh_common::meter::record::{Side, reason};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The label of methods that have none of their own.
pub const METHOD_OTHER: &str = "_OTHER";

/// Why an RPC was chosen, in the words of spans and of `tap`.
pub const REASONS: [(u32, &str); 5] = [
    (reason::SAMPLED, "sampled"),
    (reason::PARENT, "parent"),
    (reason::SLOW, "slow"),
    (reason::FAILED, "failed"),
    (reason::TAP, "tap"),
];

/// One completed RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRpc {
    /// Who called.
    pub source: SourceLabels,
    /// Whom.
    pub destination: DestinationLabels,
    /// What.
    pub method: ObservedMethod,
    /// How it ended.
    pub status: StatusCode,
    /// Which of its ends are on this node.
    pub side: Side,
    /// When the request's headers were seen.
    pub started: SystemTime,
    /// From the request's headers to the end of the response.
    pub duration: Duration,
    /// From the request's headers to the response's; `None`: there were none.
    pub first_response: Option<Duration>,
    /// Payload bytes of the request.
    pub request_bytes: u64,
    /// Payload bytes of the response.
    pub response_bytes: u64,
    /// The span of the caller that the request named.
    pub parent: Option<TraceParent>,
    /// Why it was chosen; bits of [`mesh_common::meter::record::reason`].
    pub reasons: u32,
    /// What the proxy knows of it; `None`: it took the direct path.
    pub routed: Option<Box<ObservedCall>>,
}

impl ObservedRpc {
    /// The way that it took.
    #[must_use]
    pub const fn path(&self) -> Path {
        if self.routed.is_some() {
            Path::Routed
        } else {
            Path::Direct
        }
    }

    /// The trace that it belongs to, as far as that is known outside the agent.
    #[must_use]
    pub fn trace_id(&self) -> Option<[u8; 16]> {
        let own = self.routed.as_ref().and_then(|call| call.span);
        let caller = self.parent.map(|parent| parent.trace_id);
        caller.or_else(|| own.map(|span| span.trace_id))
    }
}

/// What only the proxy knows of an RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedCall {
    /// Its spans, if those whom it reached know of them.
    pub span: Option<CallSpan>,
    /// Its tries, in order.
    pub attempts: Vec<ObservedAttempt>,
    /// Why the mesh answered itself; `None`: an endpoint answered, or nobody.
    pub local_reply: Option<LocalReply>,
}

/// One try of an RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedAttempt {
    /// Which Service and workload.
    pub destination: DestinationLabels,
    /// Which endpoint.
    pub endpoint: SocketAddr,
    /// When it began, from the call's start.
    pub started: Duration,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub status: StatusCode,
}

/// What was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMethod {
    /// `package.Service/Method`, if it could be read.
    pub name: Option<Arc<str>>,
    /// Whether metrics count it under its name.
    pub is_label: bool,
}

impl ObservedMethod {
    /// The method of a `:path`, which metrics count under `label`.
    #[must_use]
    pub fn named(path: Option<&str>, label: &Arc<str>) -> Self {
        if **label != *METHOD_OTHER {
            return Self {
                name: Some(Arc::clone(label)),
                is_label: true,
            };
        }
        let method = path.and_then(|path| GrpcPath::parse(path.as_bytes()));
        Self {
            name: method.map(|method| Arc::from(method.to_string())),
            is_label: false,
        }
    }

    /// The name that metrics have for it.
    #[must_use]
    pub fn label(&self) -> &str {
        match &self.name {
            Some(name) if self.is_label => name,
            _ => METHOD_OTHER,
        }
    }

    /// The name, label or not; `_OTHER` if it could not be read.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(METHOD_OTHER)
    }
}

/// A span, as `traceparent` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// Whether the caller records it.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Reads the header's value (W3C Trace Context section 3.2); `None`: it is none, and must be ignored.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        const LENGTH: usize = 55;
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let [b'-', version_and_ids @ ..] = &known[2..] else {
            return None;
        };
        let [version] = hex(&known[..2])?;
        // A later version may have more fields; this one has not.
        let is_whole = rest.is_empty() || (version > 0 && rest[0] == b'-');
        let has_dashes = version_and_ids[32] == b'-' && version_and_ids[49] == b'-';
        if version == 0xff || !is_whole || !has_dashes {
            return None;
        }
        let trace_id = hex(&version_and_ids[..32])?;
        let span_id = hex(&version_and_ids[33..49])?;
        let [flags] = hex(&version_and_ids[50..52])?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            is_sampled: flags & 1 == 1,
        })
    }
}

/// Reads lower-case hexadecimal digits.
pub(super) fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::TraceParent;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_parent_is_read_as_the_recommendation_says() {
        let parent = TraceParent::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(parent.trace_id[..2], [0x4b, 0xf9]);
        assert_eq!(parent.span_id[7], 0xb7);
        assert!(parent.is_sampled);
        for (value, is_read) in [
            (GOOD.replace("-01", "-00"), true),
            (GOOD.replace("00-4b", "01-4b"), true),
            (format!("{}-future", GOOD.replace("00-4b", "cc-4b")), true),
            (format!("{GOOD}-future"), false),
            (format!("{GOOD}."), false),
            (GOOD.replace("00-4b", "ff-4b"), false),
            (GOOD.to_uppercase(), false),
            (GOOD.replace("00f067aa0ba902b7", "0000000000000000"), false),
            (
                GOOD.replace(
                    "4bf92f3577b34da6a3ce929d0e0e4736",
                    "00000000000000000000000000000000",
                ),
                false,
            ),
            (GOOD[..54].to_owned(), false),
            (GOOD.replace('-', "_"), false),
        ] {
            let parsed = TraceParent::parse(value.as_bytes());
            assert_eq!(parsed.is_some(), is_read, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_trace_parent_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _any = TraceParent::parse(&bytes);
        }
    }
}
