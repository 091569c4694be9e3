//! The server.

use crate::service::{self, Methods};
use bytes::Bytes;
use mesh_tests::load::Bare;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

/// Serves until standard input ends or `SIGTERM` comes; then finishes what is under way. Each answer takes so long.
pub(crate) async fn serve(
    listen: SocketAddr,
    identity: &str,
    delay: Duration,
) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let echo = Echo {
        identity: identity.into(),
        delay,
    };
    let end = async move {
        tokio::select! {
            () = service::input_end() => {}
            _ = terminate.recv() => {}
        }
    };
    service::serve(listen, echo, None, end).await
}

/// `mesh.test.Echo`, which has one method, `Say`.
#[derive(Clone, Debug)]
struct Echo {
    identity: Arc<str>,
    delay: Duration,
}

impl Methods for Echo {
    const NAME: &'static str = "mesh.test.Echo";

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        Grpc::new(Bare).unary(self, request).await
    }
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let answer = [self.identity.as_bytes(), b"\n", request.get_ref()].concat();
        let delay = self.delay;
        Box::pin(async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            Ok(Response::new(answer.into()))
        })
    }
}
