//! An answer that goes on: a line of JSON for every RPC that matches.

use crate::api::TappedRpc;
use crate::tracer::Tap;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// Lines written at one go.
const LINES_MAX: usize = 64;

/// The lines of one reader.
pub(super) struct TapBody {
    tap: Tap,
    /// How many may still come.
    left: u64,
    _mark: Tapping,
}

impl TapBody {
    /// Begins with the first RPC that comes; ends after `limit`, or with the agent.
    pub(super) fn new(tap: Tap, limit: Option<u64>, mark: Tapping) -> Self {
        Self {
            tap,
            left: limit.unwrap_or(u64::MAX),
            _mark: mark,
        }
    }
}

impl Body for TapBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let room = usize::try_from(this.left).map_or(LINES_MAX, |left| left.min(LINES_MAX));
        if room == 0 {
            return Poll::Ready(None);
        }
        let mut rpcs = Vec::with_capacity(room);
        let count = ready!(this.tap.poll_next(context, &mut rpcs, room));
        if count == 0 {
            return Poll::Ready(None);
        }
        this.left -= rpcs.len() as u64;
        let lost = this.tap.lost();
        let mut lines = Vec::with_capacity(count * 512);
        for rpc in &rpcs {
            // A record of strings and numbers can be written, and a vector takes it.
            serde_json::to_writer(&mut lines, &TappedRpc::new(rpc, lost)).ok();
            lines.push(b'\n');
        }
        Poll::Ready(Some(Ok(Frame::data(lines.into()))))
    }
}

/// Marks a connection on which somebody taps, for as long as the value lives.
pub(super) struct Tapping(Arc<AtomicBool>);

impl Tapping {
    pub(super) fn mark(connection: &Arc<AtomicBool>) -> Self {
        connection.store(true, Ordering::Relaxed);
        Self(Arc::clone(connection))
    }
}

impl Drop for Tapping {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
