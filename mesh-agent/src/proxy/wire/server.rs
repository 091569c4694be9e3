//! A caller's connection.

use super::half::{Half, Link};
use super::socket::Socket;
use super::stream::{Receiver, Sender};
use super::{Cut, ErrorCode, WireLimits};
use crate::http2::Connection;
use http::{Response, request};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A caller's connection. It moves only while [`Server::poll_incoming`] and [`Server::poll_flush`] are called.
pub(in crate::proxy) struct Server {
    socket: Socket,
    link: Link,
    lingering: Option<Pin<Box<Sleep>>>,
}

/// How long a caller that was told why it is left may take to stop sending: what it has sent and nobody reads would have the
/// kernel reset the connection, and take back what it was told.
const LINGER: Duration = Duration::from_secs(1);

/// A request that has begun.
pub(in crate::proxy) struct Incoming {
    /// Its head.
    pub(in crate::proxy) head: request::Parts,
    /// Its body.
    pub(in crate::proxy) body: Receiver,
    /// Where the answer goes.
    pub(in crate::proxy) replier: Replier,
}

impl Server {
    /// Exchanges prefaces.
    ///
    /// # Errors
    /// If the peer does not speak HTTP/2, or leaves.
    pub(in crate::proxy) async fn accept(
        socket: TcpStream,
        limits: &WireLimits,
    ) -> Result<Self, Cut> {
        let mut server = Self {
            socket: Socket::new(socket),
            link: Link::new(Connection::server(*limits, Instant::now())),
            lingering: None,
        };
        poll_fn(|cx| {
            if server.socket.poll_flush(cx, &server.link)?.is_pending() {
                return Poll::Pending;
            }
            loop {
                if server.link.lock().has_peer_settings() {
                    return Poll::Ready(Ok(()));
                }
                match server.socket.poll_read(cx, &server.link) {
                    Poll::Ready(Ok(())) if server.link.lock().is_finished() => {
                        // The GOAWAY says what is wrong, if anybody listens.
                        let _ended = server.poll_end(cx);
                        return Poll::Ready(Err(std::io::ErrorKind::InvalidData.into()));
                    }
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
        .map_err(|_: std::io::Error| Cut::Lost)?;
        Ok(server)
    }

    /// Reads, and gives the next request; `None`: the connection is over. [`Server::poll_flush`] comes after it.
    pub(in crate::proxy) fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Incoming>> {
        self.link.lock().is_written_to();
        loop {
            let mut connection = self.link.lock();
            if let Some((place, head)) = connection.next_request() {
                drop(connection);
                let half = Half::counted(self.link.clone(), place);
                return Poll::Ready(Some(Incoming {
                    head,
                    body: Receiver::new(half.sibling()),
                    replier: Replier { half },
                }));
            }
            let (is_finished, is_choked) = (connection.is_finished(), connection.is_choked());
            drop(connection);
            if is_finished {
                return self.poll_end(cx).map(|()| None);
            }
            if is_choked {
                return Poll::Pending;
            }
            match self.socket.poll_read(cx, &self.link) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    self.link.lock().lost();
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Sends the last of it, and waits a while for the caller's end.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = match &mut self.lingering {
            Some(lingering) => lingering,
            none => {
                match self.socket.poll_flush(cx, &self.link) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
                if ready!(self.socket.poll_shutdown(cx)).is_err() {
                    return Poll::Ready(());
                }
                none.insert(Box::pin(sleep(LINGER)))
            }
        };
        loop {
            if lingering.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if ready!(self.socket.poll_read(cx, &self.link)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    /// Writes what there is to be sent, and waits for more; ready when the connection is lost.
    pub(in crate::proxy) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let was_choked = self.link.lock().is_choked();
        let flushed = self.socket.poll_flush(cx, &self.link);
        let mut connection = self.link.lock();
        if matches!(flushed, Poll::Ready(Err(_))) {
            connection.lost();
            return Poll::Ready(());
        }
        connection.wait_for_output(cx);
        let is_to_end = self.lingering.is_none() && connection.is_finished();
        if (was_choked && !connection.is_choked()) || is_to_end {
            // There may be something to be read, or nothing more is to be done.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Asks the caller to go elsewhere: one GOAWAY now that takes every stream, a second one after a round trip, and the end when
    /// no stream is left (RFC 9113, 6.8).
    pub(in crate::proxy) fn finish(&mut self) {
        self.link.lock().finish();
    }

    /// Ends the connection and every stream of it.
    pub(in crate::proxy) fn end(&mut self, code: ErrorCode) {
        self.link.lock().end(code);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What still waits for its streams learns that they are no more.
        self.link.lock().lost();
    }
}

/// Answers a request.
pub(in crate::proxy) struct Replier {
    half: Half,
}

impl Replier {
    /// Sends the head of the answer; `is_ended`: it is all of it.
    ///
    /// # Errors
    /// If the stream is over.
    pub(in crate::proxy) fn send(
        &mut self,
        head: Response<()>,
        is_ended: bool,
    ) -> Result<Sender, Cut> {
        let (head, ()) = head.into_parts();
        self.half
            .with(|connection, place| connection.respond(place, &head, is_ended))?;
        Ok(Sender::new(self.half.another()))
    }

    /// Whether the caller has reset the stream, or its connection is lost.
    pub(in crate::proxy) fn is_cut(&self) -> bool {
        self.half.with(|connection, place| connection.is_cut(place))
    }

    /// Waits until the caller resets the stream or its connection is lost. Only before the head is sent.
    pub(in crate::proxy) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.half
            .with(|connection, place| connection.poll_cut(place, cx))
    }
}
