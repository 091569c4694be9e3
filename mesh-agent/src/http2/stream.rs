//! One stream as a connection knows it.

use super::cut::Cut;
use super::flow::{ReceiveWindow, SendWindow};
use super::pieces::Pieces;
use bytes::BytesMut;
use http::{HeaderMap, response};
use slab::Slab;
use std::collections::VecDeque;
use std::task::{Context, Waker};

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// How many halves of it somebody holds.
    pub(super) holders: u8,
    /// Its request waits to be taken.
    pub(super) is_incoming: bool,
    /// Who waits for anything of it.
    waker: Option<Waker>,

    /// The head of the response, until it is taken.
    pub(super) head: Option<response::Parts>,
    /// Whether a head has come (RFC 9113, 8.1: what follows the body are trailers).
    pub(super) has_head: bool,
    /// Body that nobody has taken yet.
    pub(super) data: Pieces,
    pub(super) trailers: Option<HeaderMap>,
    /// The peer has ended its half.
    pub(super) is_received: bool,
    pub(super) receive_window: ReceiveWindow,
    /// What `content-length` still lets come.
    pub(super) content_left: Option<u64>,
    /// Why nothing comes any more before its time.
    pub(super) cut: Option<Cut>,

    pub(super) send_window: SendWindow,
    /// This half has ended.
    pub(super) is_sent: bool,
    /// What is sent whenever there is room, whoever holds the stream by then.
    pub(super) rest: Option<Box<Rest>>,
    /// Where its head stands in what is sent.
    pub(super) head_at: u64,
    /// Its request is a HEAD: the answer has no body whatever its length.
    pub(super) is_head_only: bool,
    /// It is one of those that are open.
    pub(super) is_counted: bool,
    /// It waits for room of the connection.
    pub(super) is_queued: bool,
}

impl Stream {
    pub(super) fn new(id: u32, receive_window: u32, send_window: u32) -> Self {
        Self {
            id,
            holders: 0,
            is_incoming: false,
            waker: None,
            head: None,
            has_head: false,
            data: Pieces::default(),
            trailers: None,
            is_received: false,
            receive_window: ReceiveWindow::new(receive_window),
            content_left: None,
            cut: None,
            send_window: SendWindow::new(send_window),
            is_sent: false,
            rest: None,
            head_at: 0,
            is_head_only: false,
            is_counted: true,
            is_queued: false,
        }
    }

    /// Both halves have ended, or it was reset.
    pub(super) const fn is_closed(&self) -> bool {
        self.cut.is_some() || (self.is_received && self.is_sent)
    }

    /// Counts so many bytes of the body. Whether they are as many as its head says.
    pub(super) fn takes_content(&mut self, bytes: usize, is_last: bool) -> bool {
        let Some(left) = &mut self.content_left else {
            return true;
        };
        match left.checked_sub(bytes as u64) {
            Some(now) => {
                *left = now;
                !is_last || now == 0
            }
            None => false,
        }
    }

    /// Has the task of `cx` woken by what happens next.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Something has happened.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The end of an answer that is left to the connection.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) data: BytesMut,
    pub(super) trailers: Option<HeaderMap>,
    /// The end follows.
    pub(super) is_last: bool,
}

/// The streams of a connection, found by place at once and by number fast.
#[derive(Debug, Default)]
pub(super) struct Streams {
    places: Slab<Stream>,
    /// Numbers and places, in the order of numbers: streams come with rising ones.
    order: VecDeque<(u32, usize)>,
    /// Not closed.
    pub(super) open: usize,
}

/// Places that an idle connection keeps.
const PLACES_KEPT: usize = 1;

impl Streams {
    /// A stream with a number higher than all before.
    pub(super) fn insert(&mut self, stream: Stream) -> usize {
        let id = stream.id;
        self.open += 1;
        if self.places.capacity() == 0 {
            self.places.reserve_exact(PLACES_KEPT);
        }
        let place = self.places.insert(stream);
        self.order.push_back((id, place));
        place
    }

    pub(super) fn place(&self, id: u32) -> Option<usize> {
        let found = self.order.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.order[found].1)
    }

    pub(super) fn get(&self, place: usize) -> Option<&Stream> {
        self.places.get(place)
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Stream> {
        self.places.get_mut(place)
    }

    pub(super) fn remove(&mut self, place: usize) {
        let Some(stream) = self.places.try_remove(place) else {
            return;
        };
        let found = self.order.binary_search_by_key(&stream.id, |(id, _)| *id);
        if let Ok(found) = found {
            self.order.remove(found);
        }
        if self.order.is_empty() && self.places.capacity() > PLACES_KEPT {
            self.places = Slab::new();
            self.order = VecDeque::new();
        }
    }

    /// Lets go of those that nobody holds.
    pub(super) fn retain_held(&mut self) {
        self.places.retain(|_, stream| stream.holders > 0);
        let places = &self.places;
        self.order.retain(|(_, place)| places.contains(*place));
    }

    pub(super) fn iter_placed(&mut self) -> impl Iterator<Item = (usize, &mut Stream)> {
        self.places.iter_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.places.iter_mut().map(|(_, stream)| stream)
    }
}
