//! A caller's connection.

use super::budget::Budget;
use super::stream::{Receiver, Sender, cut_of_reset};
use super::watched::{Log, Watched};
use super::{Cut, ErrorCode, WireLimits};
use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use http::{Response, request};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A caller's connection. It moves only while [`Server::poll_incoming`] is called.
pub(in crate::proxy) struct Server {
    connection: Connection<Watched, Bytes>,
    log: Arc<Log>,
    is_ended: bool,
}

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
        let (socket, log) = Watched::caller(socket, Budget::new(*limits, Instant::now()));
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(limits.header_list_bytes_max)
            .initial_window_size(limits.stream_window_bytes)
            .initial_connection_window_size(limits.caller_window_bytes)
            .max_send_buffer_size(limits.send_buffer_bytes_max)
            .data_frame_budget(limits.small_frames_bytes_max)
            .max_pending_accept_reset_streams(limits.unseen_resets_max)
            .max_local_error_reset_streams(Some(limits.faults_max))
            .max_concurrent_reset_streams(limits.late_streams_max);
        let accepted = builder.handshake(socket).await;
        Ok(Self {
            connection: accepted.map_err(|error| Cut::of(&error))?,
            log,
            is_ended: false,
        })
    }

    /// Moves the connection, and gives the next request; `None`: it is over.
    pub(in crate::proxy) fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Incoming>> {
        let polled = self.connection.poll_accept(cx);
        if self.log.is_excessive() && !self.is_ended {
            self.end(ErrorCode::ENHANCE_YOUR_CALM);
            // So that it is polled again and the GOAWAY is sent.
            cx.waker().wake_by_ref();
        }
        polled.map(|next| {
            let (request, replier) = next?.ok()?;
            let (head, body) = request.into_parts();
            Some(Incoming {
                head,
                body: Receiver::new(body),
                replier: Replier { stream: replier },
            })
        })
    }

    /// Asks the caller to go elsewhere: one GOAWAY now that takes every stream, a second one after a round trip, and the end when
    /// no stream is left (RFC 9113, 6.8).
    pub(in crate::proxy) fn finish(&mut self) {
        self.connection.graceful_shutdown();
    }

    /// Ends the connection and every stream of it.
    pub(in crate::proxy) fn end(&mut self, code: ErrorCode) {
        self.is_ended = true;
        self.connection.abrupt_shutdown(code.reason());
    }
}

/// Answers a request.
pub(in crate::proxy) struct Replier {
    stream: SendResponse<Bytes>,
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
        let sent = self.stream.send_response(head, is_ended);
        sent.map(Sender::new).map_err(|error| Cut::of(&error))
    }

    /// Waits until the caller resets the stream or its connection is lost. Only before the head is sent.
    pub(in crate::proxy) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.stream.poll_reset(cx).map(cut_of_reset)
    }
}
