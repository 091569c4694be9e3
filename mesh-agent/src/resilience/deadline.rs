//! Until when a call and each of its tries may take.

use crate::grpc::TimeoutText;
use crate::model::Timeouts;
use std::time::{Duration, Instant};

/// The bounds of one call: the caller's `grpc-timeout`, and `timeouts` of Gateway API (GEP-1742).
///
/// `request` and `backendRequest` hold until a second message starts in either direction; from then on the call is a stream,
/// for which the caller's own deadline holds, and `streamIdle`.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    caller: Option<Instant>,
    request: Option<Instant>,
    backend_request: Option<Duration>,
    stream_idle: Option<Duration>,
    is_stream: bool,
}

/// When something is over, and by which bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// When.
    pub at: Instant,
    /// By which bound.
    pub kind: TimeoutKind,
}

impl Expiry {
    /// The earlier one; of equals, the first.
    #[must_use]
    pub fn earlier(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// A bound in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeoutKind {
    /// The caller's `grpc-timeout`.
    Caller,
    /// `timeouts.request`.
    Request,
    /// `timeouts.backendRequest`: ends the try, which may be followed by another one.
    BackendRequest,
    /// `timeouts.streamIdle`.
    StreamIdle,
}

impl TimeoutKind {
    /// The label value of `mesh_timeouts_total{kind}`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Request => "request",
            Self::BackendRequest => "backend_request",
            Self::StreamIdle => "stream_idle",
        }
    }
}

impl Deadline {
    /// The bounds of a call whose head came at `start` with a well-formed `grpc-timeout` or none. What no clock can count is
    /// no bound.
    #[must_use]
    pub fn new(start: Instant, timeouts: &Timeouts, grpc_timeout: Option<Duration>) -> Self {
        let after = |timeout: Option<Duration>| start.checked_add(timeout?);
        Self {
            caller: after(grpc_timeout),
            request: after(timeouts.request),
            backend_request: timeouts.backend_request,
            stream_idle: timeouts.stream_idle,
            is_stream: false,
        }
    }

    /// A second message has started in either direction.
    pub const fn becomes_stream(&mut self) {
        self.is_stream = true;
    }

    /// Whether a second message has started.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// When the call is over, whatever its tries do.
    #[must_use]
    pub fn call(&self) -> Option<Expiry> {
        let request = self.request.filter(|_| !self.is_stream);
        first(&[
            (self.caller, TimeoutKind::Caller),
            (request, TimeoutKind::Request),
        ])
    }

    /// When a try that starts or started at `start` is over; by [`TimeoutKind::BackendRequest`] another one may follow.
    #[must_use]
    pub fn attempt(&self, start: Instant) -> Option<Expiry> {
        let bound = self.backend_request.filter(|_| !self.is_stream);
        let own = bound.and_then(|bound| start.checked_add(bound));
        Expiry::earlier(
            self.call(),
            own.map(|at| Expiry {
                at,
                kind: TimeoutKind::BackendRequest,
            }),
        )
    }

    /// When a stream is over on which nothing has moved since `moved`.
    #[must_use]
    pub fn idle(&self, moved: Instant) -> Option<Expiry> {
        let at = moved.checked_add(self.stream_idle?)?;
        Some(Expiry {
            at,
            kind: TimeoutKind::StreamIdle,
        })
    }

    /// The `grpc-timeout` of a try that starts now: what is left of the call, at most `backendRequest`; `None`: send none.
    #[must_use]
    pub fn header(&self, now: Instant) -> Option<TimeoutText> {
        let expiry = self.attempt(now)?;
        Some(TimeoutText::new(expiry.at.saturating_duration_since(now)))
    }

    /// Whether something that takes `delay` from now on leaves any time for the call.
    #[must_use]
    pub fn leaves_time_after(&self, now: Instant, delay: Duration) -> bool {
        let Some(expiry) = self.call() else {
            return true;
        };
        now.checked_add(delay).is_some_and(|then| then < expiry.at)
    }
}

/// The earliest; of equals, the one that stands first.
fn first(bounds: &[(Option<Instant>, TimeoutKind)]) -> Option<Expiry> {
    bounds.iter().fold(None, |so_far, (at, kind)| {
        let next = at.map(|at| Expiry { at, kind: *kind });
        Expiry::earlier(so_far, next)
    })
}

#[cfg(test)]
mod tests {
    use super::{Deadline, TimeoutKind};
    use crate::grpc::parse_timeout;
    use crate::model::Timeouts;
    use proptest::prelude::{Strategy, proptest};
    use std::time::{Duration, Instant};

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn timeouts(request: Option<u64>, backend_request: Option<u64>) -> Timeouts {
        Timeouts {
            request: request.map(ms),
            backend_request: backend_request.map(ms),
            stream_idle: Some(ms(60_000)),
        }
    }

    #[test]
    fn the_earliest_bound_ends_the_call_and_the_try() {
        use TimeoutKind::{BackendRequest, Caller, Request};
        let start = Instant::now();
        for (grpc, request, backend, call, attempt) in [
            (None, None, None, None, None),
            (Some(5), None, None, Some((5, Caller)), Some((5, Caller))),
            (None, Some(7), None, Some((7, Request)), Some((7, Request))),
            (
                Some(5),
                Some(7),
                Some(9),
                Some((5, Caller)),
                Some((5, Caller)),
            ),
            (
                Some(9),
                Some(7),
                Some(5),
                Some((7, Request)),
                Some((5, BackendRequest)),
            ),
            (
                Some(7),
                Some(7),
                Some(7),
                Some((7, Caller)),
                Some((7, Caller)),
            ),
            (None, None, Some(5), None, Some((5, BackendRequest))),
        ] {
            let deadline = Deadline::new(start, &timeouts(request, backend), grpc.map(ms));
            let seen = |expiry: Option<super::Expiry>| expiry.map(|e| (e.at - start, e.kind));
            let expected = |bound: Option<(u64, TimeoutKind)>| bound.map(|(at, k)| (ms(at), k));
            assert_eq!(seen(deadline.call()), expected(call));
            assert_eq!(seen(deadline.attempt(start)), expected(attempt));
        }
    }

    #[test]
    fn a_stream_keeps_only_the_caller_s_deadline() {
        let start = Instant::now();
        let mut deadline = Deadline::new(start, &timeouts(Some(100), Some(50)), Some(ms(900)));
        deadline.becomes_stream();
        for expiry in [deadline.call(), deadline.attempt(start)] {
            let expiry = expiry.unwrap();
            assert_eq!(
                (expiry.at, expiry.kind),
                (start + ms(900), TimeoutKind::Caller)
            );
        }
        let idle = deadline.idle(start + ms(5)).unwrap();
        assert_eq!(
            (idle.at, idle.kind),
            (start + ms(60_005), TimeoutKind::StreamIdle)
        );
    }

    #[test]
    fn a_delay_must_end_before_the_call_does() {
        let start = Instant::now();
        let deadline = Deadline::new(start, &timeouts(Some(100), None), None);
        assert!(deadline.leaves_time_after(start, ms(99)));
        assert!(!deadline.leaves_time_after(start, ms(100)));
        assert!(!deadline.leaves_time_after(start + ms(90), ms(10)));
        assert!(!deadline.leaves_time_after(start, Duration::MAX));
        let unbounded = Deadline::new(start, &Timeouts::default(), None);
        assert!(unbounded.leaves_time_after(start, ms(1_000_000)));
    }

    #[test]
    fn each_try_is_told_what_is_left() {
        let start = Instant::now();
        let deadline = Deadline::new(start, &timeouts(None, Some(50)), Some(ms(90)));
        for (at, expected) in [(0, "50000000n"), (60, "30000000n"), (90, "1n"), (500, "1n")] {
            let header = deadline.header(start + ms(at)).unwrap();
            assert_eq!(header.as_bytes(), expected.as_bytes(), "after {at} ms");
        }
        assert_eq!(
            Deadline::new(start, &timeouts(None, None), None).header(start),
            None
        );
    }

    fn bound() -> impl Strategy<Value = Option<u64>> {
        proptest::option::of(1_u64..1_000_000)
    }

    proptest! {
        #[test]
        fn no_try_is_told_more_than_is_left(grpc in bound(), request in bound(), backend in bound(), later in 0_u64..1_000_000) {
            let start = Instant::now();
            let deadline = Deadline::new(start, &timeouts(request, backend), grpc.map(ms));
            let now = start + ms(later);
            let told = deadline.header(now).map(|text| parse_timeout(text.as_bytes()).unwrap());
            assert_eq!(told.is_none(), grpc.or(request).or(backend).is_none());
            for left in [grpc, request].into_iter().flatten().map(|bound| ms(bound).saturating_sub(ms(later))) {
                assert!(told.unwrap() <= left.max(Duration::from_nanos(1)));
            }
            if let Some(backend) = backend {
                assert!(told.unwrap() <= ms(backend));
            }
        }
    }
}
