//! The one timer of a call, set to whichever of its bounds comes first.

use crate::resilience::{Expiry, TimeoutKind};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// The present, which tests can move.
pub(super) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A timer that exists from the first bound on.
#[derive(Debug, Default)]
pub(super) struct Clock {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    /// Ready when `expiry` has come; never without one.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        expiry: Option<Expiry>,
    ) -> Poll<TimeoutKind> {
        let Some(Expiry { at, kind }) = expiry else {
            return Poll::Pending;
        };
        let at = Instant::from_std(at);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(kind)
    }
}
