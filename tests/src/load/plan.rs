//! Which calls a load is made of.

use super::truth::Truth;
use std::fmt::Write as _;

/// Bytes at the front of a call's first request message that say what the server is to do.
pub const ORDER_BYTES: usize = 10;

/// Names of the status codes, by number.
pub const STATUS_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Who sends how many messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One request, one reply.
    Unary,
    /// One request, any number of replies.
    ServerStream,
    /// Any number of requests, one reply.
    ClientStream,
    /// One reply per request.
    Both,
}

impl Shape {
    /// The shape of a method; none: the server does not know it.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "List" => Some(Self::ServerStream),
            "Upload" => Some(Self::ClientStream),
            "Chat" => Some(Self::Both),
            _ if method.starts_with("Get") || method.starts_with("Put") => Some(Self::Unary),
            _ => None,
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method, without its service.
    pub method: String,
    /// The status that the server is to end it with.
    pub status: u8,
    /// Request messages; one unless they are streamed.
    pub requests: u8,
    /// Bytes of each, at least [`ORDER_BYTES`].
    pub request_bytes: u32,
    /// Replies that a server-streaming call gets.
    pub replies: u8,
    /// Bytes of each reply.
    pub reply_bytes: u32,
    /// How long the server waits before it answers.
    pub delay_us: u32,
}

impl Call {
    /// A unary call with a KiB each way.
    #[must_use]
    pub fn unary(method: &str, status: u8) -> Self {
        Self {
            method: method.to_owned(),
            status,
            requests: 1,
            request_bytes: 1_024,
            replies: 1,
            reply_bytes: 1_024,
            delay_us: 0,
        }
    }

    /// The front of its first request message: status, replies, bytes of a reply, delay.
    #[must_use]
    pub fn order(&self) -> [u8; ORDER_BYTES] {
        let mut order = [0; ORDER_BYTES];
        order[0] = self.status;
        order[1] = self.replies;
        order[2..6].copy_from_slice(&self.reply_bytes.to_be_bytes());
        order[6..].copy_from_slice(&self.delay_us.to_be_bytes());
        order
    }

    /// Reads what a client wrote with [`Call::order`]; the method and the requests are not part of it.
    #[must_use]
    pub fn from_order(message: &[u8]) -> Option<Self> {
        let order: &[u8; ORDER_BYTES] = message.first_chunk()?;
        let &[status, replies, a, b, c, d, e, f, g, h] = order;
        Some(Self {
            status,
            replies,
            reply_bytes: u32::from_be_bytes([a, b, c, d]),
            delay_us: u32::from_be_bytes([e, f, g, h]),
            ..Self::unary("", status)
        })
    }

    /// What the status is called, [`Call::status`] or what a server says of a method that it does not know.
    #[must_use]
    pub fn status_name(&self) -> &'static str {
        if Shape::of(&self.method).is_none() {
            return "UNIMPLEMENTED";
        }
        STATUS_NAMES[usize::from(self.status)]
    }
}

/// Calls in the order in which they are begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The calls.
    pub calls: Vec<Call>,
}

impl Plan {
    /// So many calls of the same kind.
    #[must_use]
    pub fn of(call: &Call, count: usize) -> Self {
        Self {
            calls: vec![call.clone(); count],
        }
    }

    /// Mixed calls: methods of every shape, sizes from ten bytes to some DATA frames, every status.
    #[must_use]
    pub fn mixed(seed: u64, count: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let calls = (0..count).map(|_| mixed_call(&mut random)).collect();
        Self { calls }
    }

    /// As a file: one call per line, in the order of the fields.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for call in &self.calls {
            writeln!(
                text,
                "{} {} {} {} {} {} {}",
                call.method,
                call.status,
                call.requests,
                call.request_bytes,
                call.replies,
                call.reply_bytes,
                call.delay_us
            )
            .expect("writing to a String cannot fail");
        }
        text
    }

    /// Reads a file; `None` if a line is no call.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let calls = text.lines().map(parse_call).collect::<Option<_>>()?;
        Some(Self { calls })
    }

    /// Calls by method and status, if every server does as it is told.
    #[must_use]
    pub fn expected(&self) -> Truth {
        let mut truth = Truth::default();
        for call in &self.calls {
            truth.add(&call.method, call.status_name(), 0);
        }
        truth
    }
}

fn mixed_call(random: &mut fastrand::Rng) -> Call {
    const METHODS: [&str; 8] = [
        "Get",
        "GetMany",
        "Put",
        "PutIfAbsent",
        "List",
        "Upload",
        "Chat",
        "Missing",
    ];
    let method = METHODS[random.usize(..METHODS.len())];
    let is_streamed = matches!(method, "Upload" | "Chat");
    // Half of the calls succeed; UNIMPLEMENTED is left to the method that no server has, because it makes no label.
    let status = match random.u8(..32) {
        failed @ (1..=11 | 13..=16) => failed,
        _ => 0,
    };
    let bytes = |random: &mut fastrand::Rng| match random.u8(..20) {
        0 => random.u32(10..40_000),
        1..10 => 1_024,
        _ => random.u32(10..300),
    };
    Call {
        method: method.to_owned(),
        status,
        requests: if is_streamed { random.u8(1..6) } else { 1 },
        request_bytes: bytes(random),
        replies: random.u8(..6),
        reply_bytes: bytes(random),
        delay_us: if random.u8(..50) == 0 {
            random.u32(..3_000)
        } else {
            0
        },
    }
}

fn parse_call(line: &str) -> Option<Call> {
    let mut words = line.split(' ');
    Some(Call {
        method: words.next()?.to_owned(),
        status: words.next()?.parse().ok()?,
        requests: words.next()?.parse().ok()?,
        request_bytes: words.next()?.parse().ok()?,
        replies: words.next()?.parse().ok()?,
        reply_bytes: words.next()?.parse().ok()?,
        delay_us: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_and_its_orders_are_read_as_they_were_written() {
        let plan = Plan::mixed(7, 500);
        assert_eq!(Plan::parse(&plan.text()), Some(plan.clone()));
        for call in &plan.calls {
            let read = Call::from_order(&call.order()).unwrap();
            assert_eq!(
                (read.status, read.replies, read.reply_bytes, read.delay_us),
                (call.status, call.replies, call.reply_bytes, call.delay_us)
            );
        }
    }

    #[test]
    fn a_mixed_plan_has_every_status_and_every_method() {
        let truth = Plan::mixed(1, 5_000).expected();
        for name in STATUS_NAMES {
            assert!(truth.by_status(name) > 0, "{name}");
        }
        assert_eq!(truth.total(), 5_000);
    }
}
