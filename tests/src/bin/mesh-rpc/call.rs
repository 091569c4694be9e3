//! The client.

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use mesh_tests::load::Bare;
use mesh_tests::rpc::{Calls, METHOD};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tower_service::Service;

/// One KiB, the payload of the project's figures.
pub(crate) const PAYLOAD: Bytes = Bytes::from_static(&[0x70; 1_024]);

/// Makes the calls and prints what came of them.
pub(crate) async fn call(
    target: SocketAddr,
    channels: u32,
    calls: u32,
) -> Result<(), Box<dyn Error>> {
    let peer = Arc::new(Mutex::new(None));
    let mut report = Calls::default();
    for _ in 0..channels {
        let dialler = Dialler {
            target,
            peer: Arc::clone(&peer),
        };
        let endpoint = Endpoint::from_shared(format!("http://{target}"))?;
        let mut grpc = Grpc::new(endpoint.connect_with_connector(dialler).await?);
        for _ in 0..calls {
            grpc.ready().await?;
            let path = PathAndQuery::from_static(METHOD);
            let (outcomes, name) = match grpc.unary(Request::new(PAYLOAD), path, Bare).await {
                Ok(answer) => match identity(answer.get_ref()) {
                    Some(identity) => (&mut report.answers, identity),
                    None => (&mut report.failures, "not what was sent".to_owned()),
                },
                Err(status) => (&mut report.failures, status.to_string()),
            };
            *outcomes.entry(name).or_default() += 1;
        }
    }
    report.peer = *peer.lock().unwrap_or_else(PoisonError::into_inner);
    crate::say(&serde_json::to_string(&report)?)?;
    Ok(())
}

/// Who answered, if the rest of the answer is what was sent.
pub(crate) fn identity(answer: &Bytes) -> Option<String> {
    let end = answer.iter().position(|&byte| byte == b'\n')?;
    let (identity, payload) = answer.split_at(end);
    (payload[1..] == PAYLOAD).then(|| String::from_utf8_lossy(identity).into_owned())
}

/// Connects for tonic and notes what `getpeername` says.
#[derive(Clone, Debug)]
struct Dialler {
    target: SocketAddr,
    peer: Arc<Mutex<Option<SocketAddr>>>,
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let target = self.target;
        let peer = Arc::clone(&self.peer);
        Box::pin(async move {
            let stream = TcpStream::connect(target).await?;
            let name = stream.peer_addr()?;
            peer.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(name);
            Ok(TokioIo::new(stream))
        })
    }
}
