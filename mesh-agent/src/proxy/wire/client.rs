//! A connection to an endpoint.

use super::half::{Half, Link};
use super::socket::Socket;
use super::stream::{Receiver, Sender};
use super::{Cut, Head, Unsent, WireLimits};
use crate::http2::Connection;
use http::response;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::net::TcpStream;

/// Opens streams on a connection. The connection ends when it is dropped and its last stream is over.
#[derive(Debug)]
pub(in crate::proxy) struct Opener {
    link: Link,
}

/// Moves a connection: a future that ends with it.
pub(in crate::proxy) struct Driver {
    socket: Socket,
    link: Link,
}

/// Exchanges prefaces on a new connection: how many streams an endpoint takes is known before the first one is opened.
///
/// # Errors
/// If the endpoint does not speak HTTP/2, or leaves.
pub(in crate::proxy) async fn connect(
    socket: TcpStream,
    limits: &WireLimits,
) -> Result<(Opener, Driver), Cut> {
    let link = Link::new(Connection::client(*limits, Instant::now()));
    let mut driver = Driver {
        socket: Socket::new(socket),
        link: link.clone(),
    };
    poll_fn(|cx| match driver.poll(cx) {
        Poll::Ready(()) => Poll::Ready(Err(Cut::Lost)),
        Poll::Pending if link.lock().has_peer_settings() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok((Opener { link }, driver))
}

impl Opener {
    /// How many streams the endpoint lets be open at once.
    pub(in crate::proxy) fn streams_max(&self) -> usize {
        self.link.lock().streams_max()
    }

    /// Whether no more streams can be opened: the endpoint has sent a GOAWAY, or the numbers are used up.
    pub(in crate::proxy) fn takes_no_more(&self) -> bool {
        self.link.lock().takes_no_more()
    }

    /// Opens a stream; `is_ended`: the head is all of the request.
    ///
    /// # Errors
    /// Why nothing was sent.
    pub(in crate::proxy) fn open(
        &self,
        head: &Head<'_>,
        is_ended: bool,
    ) -> Result<(Sender, Awaiting), Unsent> {
        let place = self.link.lock().open(head, is_ended)?;
        let half = Half::counted(self.link.clone(), place);
        let awaiting = Awaiting {
            half: half.sibling(),
        };
        Ok((Sender::new(half), awaiting))
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        self.link.lock().abandon();
    }
}

/// An answer that has not come yet.
#[derive(Debug)]
pub(in crate::proxy) struct Awaiting {
    half: Half,
}

impl Awaiting {
    /// The head of the answer. Not to be asked again after it.
    pub(in crate::proxy) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, Receiver), Cut>> {
        let head = ready!(
            self.half
                .with(|connection, place| connection.poll_head(place, cx))
        );
        Poll::Ready(head.map(|head| (head, Receiver::new(self.half.sibling()))))
    }
}

impl Driver {
    /// Bytes read so far.
    pub(in crate::proxy) const fn read_bytes(&self) -> u64 {
        self.socket.read_bytes()
    }

    /// Whether the endpoint has sent a GOAWAY.
    pub(in crate::proxy) fn is_going_away(&self) -> bool {
        self.link.lock().is_peer_leaving()
    }

    /// Whether the endpoint has complained of too many PINGs.
    pub(in crate::proxy) fn is_pinged_too_often(&self) -> bool {
        self.link.lock().is_pinged_too_often()
    }

    /// Sends a PING, unless one is on its way. Nobody waits for the answer: the kernel's user timeout finds out who is dead.
    pub(in crate::proxy) fn ping(&mut self) {
        self.link.lock().ping();
    }

    /// Moves the connection; ready when it is over.
    pub(in crate::proxy) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let is_choked = self.link.lock().is_choked();
            let read = if is_choked {
                Poll::Pending
            } else {
                self.socket.poll_read(cx, &self.link)
            };
            match read {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(_)) => return self.lost(),
                Poll::Pending => {}
            }
            let is_finished = self.link.lock().is_finished();
            match self.socket.poll_flush(cx, &self.link) {
                Poll::Ready(Err(_)) => return self.lost(),
                Poll::Ready(Ok(())) if is_finished => {
                    let ended = self.socket.poll_shutdown(cx);
                    return ended.map(|_| ());
                }
                // There is something to be read.
                Poll::Ready(Ok(())) if is_choked => continue,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            self.link.lock().wait_for_output(cx);
            return Poll::Pending;
        }
    }

    fn lost(&self) -> Poll<()> {
        self.link.lock().lost();
        Poll::Ready(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.link.lock().lost();
    }
}
