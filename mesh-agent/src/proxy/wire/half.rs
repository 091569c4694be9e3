//! A hold on a stream, until it is dropped.

use crate::http2::Connection;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A connection that its driver and the holders of its streams share. They run on one thread: the lock is never waited for, but
/// for a moment when a connection's last reference goes elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Link(Arc<Mutex<Connection>>);

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Arc::new(Mutex::new(connection)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // Nothing that holds it can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hold on a stream.
#[derive(Debug)]
pub(super) struct Half {
    link: Link,
    place: usize,
}

impl Half {
    /// A hold that is counted already.
    pub(super) const fn counted(link: Link, place: usize) -> Self {
        Self { link, place }
    }

    /// One more.
    pub(super) fn another(&self) -> Self {
        self.link.lock().hold_stream(self.place);
        Self::counted(self.link.clone(), self.place)
    }

    /// One that the connection has counted.
    pub(super) fn sibling(&self) -> Self {
        Self::counted(self.link.clone(), self.place)
    }

    /// Does something with the stream.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Connection, usize) -> T) -> T {
        act(&mut self.link.lock(), self.place)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.link.lock().release_stream(self.place);
    }
}
