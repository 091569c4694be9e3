//! An endpoint's body on its way to the caller.

use super::{Finish, MessageCount};
use crate::grpc::Code;
use crate::proxy::reply::GRPC_STATUS;
use crate::proxy::wire::{Cut, Piece, Pieces, Receiver, Sender};
use http::HeaderMap;
use std::task::{Context, Poll, ready};

/// Who cut a download short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum DownloadCut {
    /// The caller.
    Caller(Cut),
    /// The endpoint.
    Endpoint(Cut),
}

/// A response's body.
#[derive(Debug)]
pub(in crate::proxy) struct Download {
    body: Receiver,
    count: MessageCount,
    backlog: Pieces,
    finish: Option<Finish>,
    /// `grpc-status` of the trailers.
    code: Option<Code>,
    cut: Option<Cut>,
}

impl Download {
    /// A body of which nothing was taken yet.
    pub(in crate::proxy) fn new(body: Receiver) -> Self {
        Self {
            body,
            count: MessageCount::default(),
            backlog: Pieces::default(),
            finish: None,
            code: None,
            cut: None,
        }
    }

    /// Whether there is no body: the head was all of the response.
    pub(in crate::proxy) fn is_empty(&self) -> bool {
        self.body.is_ended() && self.count.bytes() == 0
    }

    /// Messages and bytes taken.
    pub(in crate::proxy) const fn count(&self) -> &MessageCount {
        &self.count
    }

    /// Whether there was data.
    pub(in crate::proxy) const fn has_data(&self) -> bool {
        self.count.bytes() > 0
    }

    /// The trailers, if they have come and were not passed on.
    pub(in crate::proxy) const fn trailers(&self) -> Option<&HeaderMap> {
        match &self.finish {
            Some(Finish::Trailers(trailers)) => Some(trailers),
            Some(Finish::Plain) | None => None,
        }
    }

    /// The status in the trailers; `Some(None)`: it has ended without one; `None`: it has not ended.
    pub(in crate::proxy) fn end(&self) -> Option<Option<Code>> {
        let has_ended = self.finish.is_some() || self.body.is_ended();
        has_ended.then_some(self.code)
    }

    /// Waits for the first piece after the head, whatever it is, without passing it on.
    pub(in crate::proxy) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        if self.backlog.is_empty() && self.finish.is_none() {
            ready!(self.take(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Moves what can be moved; ready when the caller has been sent all of it.
    pub(in crate::proxy) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Sender,
    ) -> Poll<Result<(), DownloadCut>> {
        loop {
            while !self.backlog.front().is_empty() {
                let is_last =
                    self.backlog.rest_len() == 0 && matches!(self.finish, Some(Finish::Plain));
                let Poll::Ready(sent) = to.poll_send(cx, self.backlog.front(), is_last) else {
                    self.absorb(cx);
                    return Poll::Pending;
                };
                self.body.release(sent.map_err(DownloadCut::Caller)?);
                if self.backlog.front().is_empty() && is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            if !self.backlog.is_empty() {
                self.backlog.advance();
                continue;
            }
            if let Some(finish) = self.finish.take() {
                self.finish = Some(Finish::Plain);
                let trailers = match finish {
                    Finish::Plain => None,
                    Finish::Trailers(trailers) => Some(trailers),
                };
                return Poll::Ready(to.finish(trailers).map_err(DownloadCut::Caller));
            }
            if let Some(cut) = self.cut {
                return Poll::Ready(Err(DownloadCut::Endpoint(cut)));
            }
            ready!(self.take(cx)).map_err(DownloadCut::Endpoint)?;
        }
    }

    /// Takes what there is though it cannot be sent yet.
    fn absorb(&mut self, cx: &mut Context<'_>) {
        while self.finish.is_none() && self.cut.is_none() {
            match self.take(cx) {
                Poll::Ready(Ok(())) => {}
                // What came before it is sent first.
                Poll::Ready(Err(cut)) => self.cut = Some(cut),
                Poll::Pending => return,
            }
        }
    }

    fn take(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        match ready!(self.body.poll_piece(cx))? {
            Piece::Data(data) => {
                self.count.feed(&data);
                self.backlog.push(data);
                if self.body.is_ended() {
                    self.finish = Some(Finish::Plain);
                }
            }
            Piece::Trailers(trailers) => {
                let status = trailers.get(GRPC_STATUS);
                self.code = status.map(|status| Code::parse(status.as_bytes()));
                self.finish = Some(Finish::Trailers(trailers));
            }
            Piece::End => self.finish = Some(Finish::Plain),
        }
        Poll::Ready(Ok(()))
    }
}

/// Nobody gets what is left of it, but its connection is there for others.
impl Drop for Download {
    fn drop(&mut self) {
        let unsent = self.backlog.len();
        if unsent > 0 {
            self.body.release(unsent);
        }
    }
}
