//! The server.

use bytes::Bytes;
use mesh_tests::load::Bare;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tower_service::Service;

/// Serves until standard input ends or `SIGTERM` comes; then finishes what is under way. Each answer takes so long.
pub(crate) async fn serve(
    listen: SocketAddr,
    identity: &str,
    delay: Duration,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    crate::say("listening")?;
    let echo = Echo {
        identity: identity.into(),
        delay,
    };
    Server::builder()
        .add_service(echo)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            let mut rest = Vec::new();
            tokio::select! {
                // Ends at the end of input; an error ends it just as well.
                _ = async { tokio::io::stdin().read_to_end(&mut rest).await } => {}
                _ = terminate.recv() => {}
            }
        })
        .await?;
    Ok(())
}

/// `mesh.test.Echo`, which has one method.
#[derive(Clone, Debug)]
struct Echo {
    identity: Arc<str>,
    delay: Duration,
}

impl NamedService for Echo {
    const NAME: &'static str = "mesh.test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Say {
            identity: Arc::clone(&self.identity),
            delay: self.delay,
        };
        Box::pin(async move { Ok(Grpc::new(Bare).unary(method, request).await) })
    }
}

/// `mesh.test.Echo/Say`.
struct Say {
    identity: Arc<str>,
    delay: Duration,
}

impl UnaryService<Bytes> for Say {
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
