//! The caller's body on its way to an endpoint, and again to another one if the first try fails.

use super::replay::Replay;
use super::{Finish, MessageCount};
use crate::proxy::mirror::{Copied, Copies};
use crate::proxy::wire::{Cut, Piece, Pieces, Receiver, Sender};
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
    backlog: Pieces,
    /// Whether the backlog's front is sent for the first time, so that the caller may send as much again.
    is_fresh: bool,
    is_sent: bool,
    copies: Copies,
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
            backlog: Pieces::default(),
            is_fresh: true,
            is_sent: false,
            copies: vec![],
        }
    }

    /// What is taken from now on goes to these, too.
    pub(in crate::proxy) fn copy_to(&mut self, copies: Copies) {
        self.copies = copies;
        if matches!(self.finish, Some(Finish::Plain)) {
            self.copy(&Copied::End(None));
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
        self.replay.forget();
    }

    /// Starts from the beginning, for another try. Only while it is replayable.
    pub(in crate::proxy) fn restart(&mut self) {
        // What was taken and not sent is part of what is kept.
        self.release_unsent();
        self.backlog.clear();
        self.backlog.push(self.replay.again());
        self.is_fresh = false;
        self.is_sent = false;
    }

    /// Lets the caller send as much again as was taken and not sent.
    fn release_unsent(&mut self) {
        let mut unsent = self.backlog.rest_len();
        if self.is_fresh {
            unsent += self.backlog.front().len();
        }
        if unsent > 0 {
            self.body.release(unsent);
        }
    }

    /// Nobody takes what is left of it.
    pub(in crate::proxy) const fn abandon(&mut self) {
        self.is_sent = true;
    }

    /// Moves what can be moved; ready when this try has been sent all of it. Not to be asked again then.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Sender,
    ) -> Poll<Result<(), UploadCut>> {
        loop {
            while !self.backlog.front().is_empty() {
                let is_last =
                    self.backlog.rest_len() == 0 && matches!(self.finish, Some(Finish::Plain));
                let Poll::Ready(sent) = to.poll_send(cx, self.backlog.front(), is_last) else {
                    return self.absorb(cx).map_err(UploadCut::Caller);
                };
                let bytes = sent.map_err(|_| UploadCut::Endpoint)?;
                if self.is_fresh {
                    self.body.release(bytes);
                }
                if self.backlog.front().is_empty() && is_last {
                    self.is_sent = true;
                    return Poll::Ready(Ok(()));
                }
            }
            self.is_fresh = true;
            if !self.backlog.is_empty() {
                self.backlog.advance();
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

    /// Takes what there is though it cannot be sent yet. Never ready but with an error.
    fn absorb(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        while self.finish.is_none() {
            ready!(self.take(cx))?;
        }
        Poll::Pending
    }

    /// Takes the next piece from the caller.
    fn take(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        match ready!(self.body.poll_piece(cx))? {
            Piece::Data(data) => {
                self.count.feed(&data);
                self.replay.keep(&data);
                if !self.copies.is_empty() {
                    self.copy(&Copied::Data(data.clone()));
                }
                self.backlog.push(data);
                if self.body.is_ended() {
                    self.ends(Finish::Plain);
                }
            }
            Piece::Trailers(trailers) => self.ends(Finish::Trailers(trailers)),
            Piece::End => self.ends(Finish::Plain),
        }
        Poll::Ready(Ok(()))
    }

    fn ends(&mut self, finish: Finish) {
        if !self.copies.is_empty() {
            self.copy(&Copied::End(match &finish {
                Finish::Plain => None,
                Finish::Trailers(trailers) => Some(trailers.clone()),
            }));
        }
        self.finish = Some(finish);
    }

    /// A copy that cannot keep up gets no more.
    fn copy(&mut self, piece: &Copied) {
        self.copies
            .retain(|copy| copy.try_send(piece.clone()).is_ok());
    }
}

/// Nobody gets what is left of it, but its connection is there for others.
impl Drop for Upload {
    fn drop(&mut self) {
        self.release_unsent();
    }
}
