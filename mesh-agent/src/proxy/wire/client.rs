//! A connection to an endpoint.

use super::stream::{Receiver, Sender};
use super::watched::{Log, Watched};
use super::{Cut, WireLimits};
use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong};
use http::{Request, Version, response};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;

/// Opens streams on a connection. The connection ends when it is dropped and its last stream is over.
#[derive(Debug)]
pub(in crate::proxy) struct Opener {
    requests: SendRequest<Bytes>,
    stream_last: AtomicU32,
    log: Arc<Log>,
}

/// The number of the last stream of a connection (RFC 9113, 5.1.1), and some to spare for those that are being opened.
const STREAM_LAST: u32 = (1 << 31) - 1 - 2 * (1 << 16);

/// Moves a connection: a future that ends with it.
pub(in crate::proxy) struct Driver {
    connection: Connection<Watched, Bytes>,
    pings: Option<PingPong>,
    log: Arc<Log>,
}

/// Why a stream could not be opened; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Unsent {
    /// The connection takes no more streams.
    Closed,
    /// The request cannot be sent as it is.
    Malformed,
}

/// Sends the preface on a new connection.
///
/// # Errors
/// If the endpoint has left again.
pub(in crate::proxy) async fn connect(
    socket: TcpStream,
    limits: &WireLimits,
) -> Result<(Opener, Driver), Cut> {
    let (socket, log) = Watched::endpoint(socket);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(limits.streams_before_settings)
        .max_header_list_size(limits.header_list_bytes_max)
        .initial_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.endpoint_window_bytes)
        .max_send_buffer_size(limits.send_buffer_bytes_max)
        .data_frame_budget(limits.small_frames_bytes_max)
        .max_local_error_reset_streams(Some(limits.faults_max))
        .max_concurrent_reset_streams(limits.late_streams_max);
    let connected = builder.handshake(socket).await;
    let (requests, mut connection) = connected.map_err(|error| Cut::of(&error))?;
    let opener = Opener {
        requests,
        stream_last: AtomicU32::new(0),
        log: Arc::clone(&log),
    };
    let pings = connection.ping_pong();
    let driver = Driver {
        connection,
        pings,
        log,
    };
    Ok((opener, driver))
}

impl Opener {
    /// How many streams the endpoint lets be open at once.
    pub(in crate::proxy) fn streams_max(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Whether no more streams can be opened: the endpoint has sent a GOAWAY, or the numbers are used up.
    pub(in crate::proxy) fn takes_no_more(&self) -> bool {
        self.log.is_going_away() || self.stream_last.load(Ordering::Relaxed) >= STREAM_LAST
    }

    /// Opens a stream; `is_ended`: the head is all of the request.
    ///
    /// # Errors
    /// Why nothing was sent.
    pub(in crate::proxy) fn open(
        &self,
        mut head: Request<()>,
        is_ended: bool,
    ) -> Result<(Sender, Awaiting), Unsent> {
        if head.uri().authority().is_none() {
            // Without an authority `h2` takes a request of HTTP/1 only; it sends the same.
            *head.version_mut() = Version::HTTP_11;
        }
        // A clone never waits for the stream opened before it.
        let opened = self.requests.clone().send_request(head, is_ended);
        let (response, sender) = opened.map_err(|error| {
            if error.is_io() || error.is_go_away() {
                Unsent::Closed
            } else {
                Unsent::Malformed
            }
        })?;
        let stream = response.stream_id().as_u32();
        self.stream_last.store(stream, Ordering::Relaxed);
        let awaiting = Awaiting {
            stream,
            response,
            log: Arc::clone(&self.log),
        };
        Ok((Sender::new(sender), awaiting))
    }
}

/// An answer that has not come yet.
#[derive(Debug)]
pub(in crate::proxy) struct Awaiting {
    response: ResponseFuture,
    stream: u32,
    log: Arc<Log>,
}

impl Awaiting {
    /// The head of the answer. Not to be asked again after it.
    pub(in crate::proxy) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, Receiver), Cut>> {
        let response = ready!(Pin::new(&mut self.response).poll(cx));
        Poll::Ready(match response {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Ok((head, Receiver::new(body)))
            }
            Err(error) => Err(match Cut::of(&error) {
                Cut::Lost | Cut::Unprocessed if self.log.is_unsent(self.stream) => Cut::Unsent,
                Cut::Lost if self.log.is_unprocessed(self.stream) => Cut::Unprocessed,
                cut @ (Cut::Reset(_)
                | Cut::Faulty(_)
                | Cut::Unsent
                | Cut::Unprocessed
                | Cut::Lost) => cut,
            }),
        })
    }
}

impl Driver {
    /// Bytes read so far.
    pub(in crate::proxy) fn read_bytes(&self) -> u64 {
        self.log.read_bytes()
    }

    /// Whether the endpoint has sent a GOAWAY.
    pub(in crate::proxy) fn is_going_away(&self) -> bool {
        self.log.is_going_away()
    }

    /// Whether the endpoint has complained of too many PINGs.
    pub(in crate::proxy) fn is_pinged_too_often(&self) -> bool {
        self.log.is_pinged_too_often()
    }

    /// Sends a PING, unless one is on its way. Nobody waits for the answer: the kernel's user timeout finds out who is dead.
    pub(in crate::proxy) fn ping(&mut self) {
        if let Some(pings) = &mut self.pings {
            // It fails if one is on its way or the connection is over.
            pings.send_ping(Ping::opaque()).ok();
        }
    }

    /// Moves the connection; ready when it is over.
    pub(in crate::proxy) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pings) = &mut self.pings {
            // Takes the answer, so that the next PING can be sent.
            let _answer = pings.poll_pong(cx);
        }
        // How it ended, its streams know.
        Pin::new(&mut self.connection).poll(cx).map(|_| ())
    }
}
