//! The caller's body on its way to an endpoint, and again to another one if the first try fails.

use super::replay::Replay;
use super::{Finish, MessageCount};
use crate::proxy::wire::{Cut, Piece, Receiver, Sender};
use bytes::Bytes;
use std::task::{Context, Poll, ready};

/// Who cut an upload short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum UploadCut {
    /// The caller.
    Caller(Cut),
    /// The endpoint. It may have answered nevertheless.
    Endpoint,
}

/// A request's body, over all tries.
#[derive(Debug)]
pub(in crate::proxy) struct Upload {
    body: Receiver,
    replay: Replay,
    count: MessageCount,
    /// How the caller ended it, if it has.
    finish: Option<Finish>,
    /// What is being sent.
    piece: Bytes,
    /// Whether the caller may send as much again once `piece` is sent.
    is_fresh: bool,
    /// Kept pieces that this try has sent.
    place: usize,
    is_sent: bool,
}

impl Upload {
    /// A body of which nothing was taken yet.
    pub(in crate::proxy) fn new(body: Receiver) -> Self {
        let finish = body.is_ended().then_some(Finish::Plain);
        Self {
            body,
            replay: Replay::new(),
            count: MessageCount::default(),
            finish,
            piece: Bytes::new(),
            is_fresh: false,
            place: 0,
            is_sent: false,
        }
    }

    /// Whether there is no body: the head is all of the request.
    pub(in crate::proxy) const fn is_empty(&self) -> bool {
        matches!(self.finish, Some(Finish::Plain)) && self.count.bytes() == 0
    }

    /// Whether this try has been sent all of it.
    pub(in crate::proxy) const fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// Whether all that was taken can be sent once more.
    pub(in crate::proxy) const fn is_replayable(&self) -> bool {
        self.replay.is_complete()
    }

    /// Messages and bytes taken.
    pub(in crate::proxy) const fn count(&self) -> &MessageCount {
        &self.count
    }

    /// There will be no other try.
    pub(in crate::proxy) fn commit(&mut self) {
        if self.place >= self.replay.len() {
            self.replay.forget();
        }
    }

    /// Starts from the beginning, for another try. Only while it is replayable.
    pub(in crate::proxy) fn restart(&mut self) {
        self.release();
        self.piece = Bytes::new();
        self.place = 0;
        self.is_sent = false;
    }

    /// Nobody takes what is left of it.
    pub(in crate::proxy) fn abandon(&mut self) {
        self.is_sent = true;
    }

    /// Moves what can be moved; ready when this try has been sent all of it. Not to be asked again then.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Sender,
    ) -> Poll<Result<(), UploadCut>> {
        loop {
            while !self.piece.is_empty() {
                let is_last = self.is_last();
                let sent = to.poll_send(cx, &mut self.piece, is_last);
                let bytes = ready!(sent).map_err(|_| UploadCut::Endpoint)?;
                if self.is_fresh {
                    self.body.release(bytes);
                }
                if self.piece.is_empty() && is_last {
                    self.is_sent = true;
                    return Poll::Ready(Ok(()));
                }
            }
            if let Some(kept) = self.replay.piece(self.place) {
                self.piece = kept.clone();
                self.is_fresh = false;
                self.place += 1;
            } else if let Some(finish) = &self.finish {
                let trailers = match finish {
                    Finish::Plain => None,
                    Finish::Trailers(trailers) => Some(trailers.clone()),
                };
                self.is_sent = true;
                return Poll::Ready(to.finish(trailers).map_err(|_| UploadCut::Endpoint));
            } else {
                ready!(self.take(cx)).map_err(UploadCut::Caller)?;
            }
        }
    }

    /// Takes the next piece from the caller.
    fn take(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        match ready!(self.body.poll_piece(cx))? {
            Piece::Data(data) => {
                self.count.feed(&data);
                self.replay.keep(&data);
                self.place = self.replay.len();
                self.piece = data;
                self.is_fresh = true;
                if self.body.is_ended() {
                    self.finish = Some(Finish::Plain);
                }
            }
            Piece::Trailers(trailers) => self.finish = Some(Finish::Trailers(trailers)),
            Piece::End => self.finish = Some(Finish::Plain),
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the end follows `piece`.
    fn is_last(&self) -> bool {
        matches!(self.finish, Some(Finish::Plain)) && self.place >= self.replay.len()
    }

    /// What was taken and not sent, nobody gives back later.
    fn release(&mut self) {
        if self.is_fresh && !self.piece.is_empty() {
            self.body.release(self.piece.len());
        }
        self.is_fresh = false;
    }
}
