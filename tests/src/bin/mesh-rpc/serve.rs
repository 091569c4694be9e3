//! The server.

use bytes::Bytes;
use mesh_tests::load::Bare;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tower_service::Service;

/// Serves until standard input ends.
pub(crate) async fn serve(listen: SocketAddr, identity: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    crate::say("listening")?;
    let echo = Echo {
        identity: identity.into(),
    };
    Server::builder()
        .add_service(echo)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
            let mut rest = Vec::new();
            // Ends at the end of input; an error ends it just as well.
            drop(tokio::io::stdin().read_to_end(&mut rest).await);
        })
        .await?;
    Ok(())
}

/// `mesh.test.Echo`, which has one method.
#[derive(Clone, Debug)]
struct Echo {
    identity: Arc<str>,
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
        };
        Box::pin(async move { Ok(Grpc::new(Bare).unary(method, request).await) })
    }
}

/// `mesh.test.Echo/Say`.
struct Say {
    identity: Arc<str>,
}

impl UnaryService<Bytes> for Say {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let answer = [self.identity.as_bytes(), b"\n", request.get_ref()].concat();
        ready(Ok(Response::new(answer.into())))
    }
}
