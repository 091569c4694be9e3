//! Reads a running agent's JSON.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Time for the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer: far more than 32,768 endpoints need.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of one line of an answer that goes on: some names and numbers.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nothing listens there.
    #[error(
        "no agent answers at {address}: {source}; start one with `mesh-agent run --config DIR`, or name the \
         address of one that runs with --admin"
    )]
    NoAgent {
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// It takes too long.
    #[error("the agent at {address} did not answer within {} s; its log says what holds it up", TIMEOUT.as_secs())]
    Timeout {
        /// Where.
        address: SocketAddr,
    },
    /// It cannot answer now.
    #[error("the agent at {address} cannot answer now: {reason}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// What it said.
        reason: String,
    },
    /// It was asked about something that is not there.
    #[error("{0}")]
    NotThere(String),
    /// What listens there is no agent, or one of another version.
    #[error("what listens at {address} does not speak as a mesh agent of this version: {reason}")]
    NotAnAgent {
        /// Where.
        address: SocketAddr,
        /// What was unexpected.
        reason: String,
    },
    /// This process cannot do I/O.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
}

/// Asks the agent at `address` for `path`.
pub(super) fn get<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Result<T, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClientError::Runtime)?;
    let exchange = async {
        tokio::time::timeout(TIMEOUT, exchange(address, path))
            .await
            .unwrap_or(Err(ClientError::Timeout { address }))
    };
    let (status, body) = runtime.block_on(exchange)?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| not_an_agent(address, &error));
    }
    Err(refused(address, path, status, &body))
}

/// Hands every line of an answer that goes on to `each`, until the agent or Ctrl-C ends it. A line is one RPC of a tap.
pub(super) fn follow<T: DeserializeOwned>(
    address: SocketAddr,
    path: &str,
    mut each: impl FnMut(T),
) -> Result<(), ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClientError::Runtime)?;
    runtime.block_on(async {
        tokio::select! {
            // Whoever interrupts has seen enough.
            _ = tokio::signal::ctrl_c() => Ok(()),
            ended = with_answer(address, path, async |answer| {
                let status = answer.status();
                let mut body = answer.into_body();
                if status != StatusCode::OK {
                    let reason = Limited::new(body, LINE_BYTES_MAX).collect().await?.to_bytes();
                    return Ok(Err(refused(address, path, status, &reason)));
                }
                let mut lines = Lines::default();
                while let Some(frame) = body.frame().await {
                    if let Ok(data) = frame?.into_data() {
                        lines.take(&data, &mut each)?;
                    }
                }
                Ok(Ok(()))
            }) => ended?,
        }
    })
}

/// What has come of a line that is not complete.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take<T: DeserializeOwned>(
        &mut self,
        data: &[u8],
        each: &mut impl FnMut(T),
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            if self.0.len() > LINE_BYTES_MAX {
                return Err("a line without an end".into());
            }
            if piece.ends_with(b"\n") {
                each(serde_json::from_slice(&self.0)?);
                self.0.clear();
            }
        }
        Ok(())
    }
}

fn refused(address: SocketAddr, path: &str, status: StatusCode, body: &[u8]) -> ClientError {
    let said = String::from_utf8_lossy(body).trim().to_owned();
    match status {
        StatusCode::SERVICE_UNAVAILABLE => ClientError::Refused {
            address,
            reason: said,
        },
        StatusCode::UNPROCESSABLE_ENTITY => ClientError::NotThere(said),
        StatusCode::BAD_REQUEST => ClientError::NotAnAgent {
            address,
            reason: said,
        },
        other => ClientError::NotAnAgent {
            address,
            reason: format!("{path} answers {other}"),
        },
    }
}

async fn exchange(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
    with_answer(address, path, async |answer| {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        Ok((status, body.collect().await?.to_bytes()))
    })
    .await
}

/// Asks, and gives the answer, whose body may not be there yet, to `read`.
async fn with_answer<T>(
    address: SocketAddr,
    path: &str,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Box<dyn Error + Send + Sync>>,
) -> Result<T, ClientError> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| ClientError::NoAgent { address, source })?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| not_an_agent(address, &error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| not_an_agent(address, &error))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        read(response).await
    };
    // The connection's own end is no news: the answer fails with it.
    let driven = async {
        connection.await.ok();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answer => answer.map_err(|error| not_an_agent(address, &*error)),
        () = driven => Err(ClientError::Timeout { address }),
    }
}

fn not_an_agent(address: SocketAddr, error: &dyn std::fmt::Display) -> ClientError {
    ClientError::NotAnAgent {
        address,
        reason: error.to_string(),
    }
}
