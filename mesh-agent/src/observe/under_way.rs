//! How much the proxy is in the middle of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much the proxy has under way.
#[derive(Debug, Default)]
pub struct ProxyFigures {
    sessions: AtomicU64,
    calls: AtomicU64,
}

impl ProxyFigures {
    /// Callers' connections.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Calls.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a connection until the guard is dropped.
    #[must_use]
    pub fn session(figures: &Arc<Self>) -> SessionGuard {
        figures.sessions.fetch_add(1, Ordering::Relaxed);
        SessionGuard(Arc::clone(figures))
    }

    /// Counts a call until [`ProxyFigures::call_ended`].
    pub fn call_begun(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has ended.
    pub fn call_ended(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub struct SessionGuard(Arc<ProxyFigures>);

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}
