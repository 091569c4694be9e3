//! The connections to one endpoint for one kind of caller, and the requests that wait for them.

use super::{Makings, PoolKey};
use crate::proxy::wire::Opener;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Connections of one entry. An endpoint that takes a hundred streams on each gets more than the streams that one caller's
/// connection may have, fifty times over.
const CONNECTIONS_MAX: usize = 512;

/// Connections that are made at once when one of them has shown how little an endpoint takes on each.
const DIALING_MAX: usize = 16;

/// Connections to one endpoint for one kind of caller.
#[derive(Debug)]
pub(super) struct Entry {
    key: PoolKey,
    state: Mutex<State>,
    streams_expected: usize,
}

#[derive(Debug)]
struct State {
    /// Connections that take new streams, the oldest first.
    ready: Vec<Ready>,
    dialing: usize,
    waiting: VecDeque<oneshot::Sender<Result<Lease, Arc<io::Error>>>>,
    /// The endpoint is gone: connections leave with their last stream.
    is_retired: bool,
    last_id: u64,
}

#[derive(Debug)]
struct Ready {
    id: u64,
    opener: Arc<Opener>,
    streams: usize,
}

/// What became of a request that found no room.
pub(super) enum Waiting {
    /// There is room by now.
    Leased(Lease),
    /// It waits.
    For {
        /// Comes when there is room, or when a connection could not be made.
        lease: oneshot::Receiver<Result<Lease, Arc<io::Error>>>,
        /// Whether the caller has to make one more connection, which is counted already.
        is_to_dial: bool,
    },
}

/// A stream's place on a connection, until it is dropped.
#[derive(Debug)]
pub(in crate::proxy) struct Lease {
    entry: Arc<Entry>,
    opener: Arc<Opener>,
    id: u64,
}

impl Lease {
    /// Opens the stream.
    pub(in crate::proxy) fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Takes the connection out of the pool: it opens no more streams.
    pub(in crate::proxy) fn withdraw(&self) {
        self.entry.withdraw(self.id);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        Entry::release(&self.entry, self.id);
    }
}

impl Entry {
    pub(super) fn new(key: PoolKey, makings: &Makings) -> Self {
        Self {
            key,
            state: Mutex::new(State {
                ready: vec![],
                dialing: 0,
                waiting: VecDeque::new(),
                is_retired: false,
                last_id: 0,
            }),
            streams_expected: makings.limits.streams_expected,
        }
    }

    pub(super) const fn key(&self) -> PoolKey {
        self.key
    }

    /// A place on a connection that has room.
    pub(super) fn lease(entry: &Arc<Self>) -> Option<Lease> {
        let mut state = entry.lock();
        state.is_retired = false;
        state.lease(entry)
    }

    /// Queues for a place.
    pub(super) fn wait(entry: &Arc<Self>) -> Waiting {
        let mut state = entry.lock();
        if let Some(lease) = state.lease(entry) {
            return Waiting::Leased(lease);
        }
        // Who has given up by now needs no connection.
        state.waiting.retain(|waiting| !waiting.is_closed());
        let (sender, lease) = oneshot::channel();
        state.waiting.push_back(sender);
        let is_to_dial = state.needs_another(entry.streams_expected);
        state.dialing += usize::from(is_to_dial);
        Waiting::For { lease, is_to_dial }
    }

    /// Whether there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        !self.lock().ready.is_empty()
    }

    /// A connection that was counted may not be made after all. Returns whether there is nothing left to wait for.
    pub(super) fn dial_denied(&self) -> bool {
        let mut state = self.lock();
        state.dialing -= 1;
        state.dialing == 0 && state.ready.is_empty()
    }

    /// A connection was made. Returns its id, and how many more are needed, which are counted then.
    pub(super) fn connected(entry: &Arc<Self>, opener: Opener) -> (u64, usize) {
        let mut state = entry.lock();
        state.dialing -= 1;
        state.last_id += 1;
        let id = state.last_id;
        state.ready.push(Ready {
            id,
            opener: Arc::new(opener),
            streams: 0,
        });
        let served = state.serve(entry);
        let mut to_dial = 0;
        while state.dialing < DIALING_MAX && state.needs_another(entry.streams_expected) {
            state.dialing += 1;
            to_dial += 1;
        }
        drop(state);
        hand_over(served);
        (id, to_dial)
    }

    /// A connection could not be made: nobody who waits gets one, unless others are being made.
    pub(super) fn dial_failed(&self, error: io::Error) {
        let mut state = self.lock();
        state.dialing -= 1;
        let is_last = state.dialing == 0 && state.ready.is_empty();
        let waiting = if is_last {
            std::mem::take(&mut state.waiting)
        } else {
            VecDeque::new()
        };
        drop(state);
        let error = Arc::new(error);
        for waiting in waiting {
            // Who waited may have given up.
            waiting.send(Err(Arc::clone(&error))).ok();
        }
    }

    /// Takes a connection out: it opens no more streams.
    pub(super) fn withdraw(&self, id: u64) {
        let mut state = self.lock();
        let position = state.ready.iter().position(|ready| ready.id == id);
        let gone = position.map(|position| state.ready.remove(position));
        drop(state);
        // Its last reference may close the connection, which is not to happen under the lock.
        drop(gone);
    }

    /// Takes a connection out if it has no streams. Returns whether it is out.
    pub(super) fn withdraw_idle(&self, id: u64) -> bool {
        let streams = self.streams(id);
        if streams == Some(0) {
            self.withdraw(id);
        }
        streams.is_none_or(|streams| streams == 0)
    }

    /// Streams of a connection; `None`: it is out.
    pub(super) fn streams(&self, id: u64) -> Option<usize> {
        let state = self.lock();
        let ready = state.ready.iter().find(|ready| ready.id == id)?;
        Some(ready.streams)
    }

    /// The endpoint is gone: connections without streams leave now, the others with their last one.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.is_retired = true;
        let (kept, gone) = std::mem::take(&mut state.ready)
            .into_iter()
            .partition(|ready| ready.streams > 0);
        state.ready = kept;
        drop(state);
        drop::<Vec<Ready>>(gone);
    }

    fn release(entry: &Arc<Self>, id: u64) {
        let mut state = entry.lock();
        let is_retired = state.is_retired;
        let mut gone = None;
        if let Some(position) = state.ready.iter().position(|ready| ready.id == id) {
            let ready = &mut state.ready[position];
            ready.streams -= 1;
            if is_retired && ready.streams == 0 {
                gone = Some(state.ready.remove(position));
            }
        }
        let served = if state.waiting.is_empty() {
            vec![]
        } else {
            state.serve(entry)
        };
        drop(state);
        drop(gone);
        hand_over(served);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Served = Vec<(oneshot::Sender<Result<Lease, Arc<io::Error>>>, Lease)>;

/// Not under the lock: a lease that nobody takes is given back.
fn hand_over(served: Served) {
    for (waiting, lease) in served {
        waiting.send(Ok(lease)).ok();
    }
}

impl State {
    fn lease(&mut self, entry: &Arc<Entry>) -> Option<Lease> {
        let has_room = |ready: &&mut Ready| {
            !ready.opener.takes_no_more() && ready.streams < ready.opener.streams_max()
        };
        let ready = self.ready.iter_mut().find(has_room)?;
        ready.streams += 1;
        Some(Lease {
            entry: Arc::clone(entry),
            opener: Arc::clone(&ready.opener),
            id: ready.id,
        })
    }

    /// Pairs who waits with what there is.
    fn serve(&mut self, entry: &Arc<Entry>) -> Served {
        let mut served = vec![];
        self.waiting.retain(|waiting| !waiting.is_closed());
        while !self.waiting.is_empty() {
            let Some(lease) = self.lease(entry) else {
                break;
            };
            served.extend(self.waiting.pop_front().map(|waiting| (waiting, lease)));
        }
        served
    }

    /// Whether those who wait need one more connection than is being made.
    fn needs_another(&self, streams_expected: usize) -> bool {
        let known = self.ready.last().map(|ready| ready.opener.streams_max());
        let each = known.unwrap_or(streams_expected).max(1);
        self.waiting.len() > self.dialing.saturating_mul(each)
            && self.ready.len() + self.dialing < CONNECTIONS_MAX
    }
}
