//! Accepts connections, within bounds on their number, size, time and age.

use super::agent::Readers;
use super::router;
use crate::api::READERS_MAX;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Time for the whole head of a request, and for which an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head; the smallest that hyper takes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// A connection is asked to end at this age, so that a reader that stalls cannot hold its place for long. Somebody who
/// taps may stay: there are fewer places for that than connections.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);
/// Time for an answer that is under way when its connection shall end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept: the process may be out of file descriptors, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no admin server.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is reachable from other machines.
    #[error(
        "the admin address {0} is not a loopback address: everybody who reaches it can read names, addresses and \
         connections; use 127.0.0.1, or allow this with --admin-remote"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on admin address {address}: {source}; choose another with --admin")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
}

/// A bound listener that is not served yet.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
}

impl AdminServer {
    /// Binds the address, unless it is one that others could reach and `remote_allowed` does not say so.
    ///
    /// # Errors
    /// If the address is refused or cannot be bound.
    pub async fn bind(address: SocketAddr, remote_allowed: bool) -> Result<Self, AdminError> {
        if !address.ip().to_canonical().is_loopback() && !remote_allowed {
            return Err(AdminError::NotLoopback(address));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| AdminError::Listen { address, source })?;
        Ok(Self { listener })
    }

    /// The address, with the port the system chose if it was asked to.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` turns true, then finishes the answers under way.
    pub async fn serve(self, readers: Readers, stop: watch::Receiver<bool>) {
        let readers = Arc::new(readers);
        let places = Arc::new(Semaphore::new(READERS_MAX));
        let mut connections = JoinSet::new();
        let mut stopping = stop.clone();
        loop {
            // The next connection is taken from the backlog only when there is a place for it.
            let accept = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accept => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                _ = stopping.wait_for(|stop| *stop) => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = serve_connection(stream, Arc::clone(&readers), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an admin connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        // Answers that go on end here, all others by themselves.
        readers.taps.close();
        while connections.join_next().await.is_some() {}
    }
}

async fn serve_connection(
    stream: TcpStream,
    readers: Arc<Readers>,
    mut stop: watch::Receiver<bool>,
) {
    let is_tapping = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&is_tapping);
    let service = service_fn(move |request| {
        let (readers, mark) = (Arc::clone(&readers), Arc::clone(&mark));
        async move { Ok::<_, Infallible>(router::answer(&readers, &request, &mark).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let aged = async {
        sleep(CONNECTION_AGE_MAX).await;
        while is_tapping.load(Ordering::Relaxed) {
            sleep(CONNECTION_AGE_MAX).await;
        }
    };
    tokio::select! {
        ended = &mut connection => return log_end(ended),
        () = aged => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(DRAIN_TIMEOUT, connection).await {
        log_end(ended);
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}
