//! What all servers are besides their answers.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt as _, stdin};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Server;
use tower_service::Service;

/// The methods of a service.
pub(crate) trait Methods: Clone + Send + Sync + 'static {
    /// The service's name.
    const NAME: &'static str;

    /// Answers a request.
    fn answer(
        self,
        request: http::Request<Body>,
    ) -> impl Future<Output = http::Response<Body>> + Send;
}

/// Says that it listens and serves until `end`, then finishes what is under way; so many calls at a time on each connection if
/// there is a limit.
pub(crate) async fn serve(
    listen: SocketAddr,
    methods: impl Methods,
    streams_max: Option<u32>,
    end: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    crate::say("listening")?;
    let connections = TcpListenerStream::new(listener).map(|accepted| {
        let stream = accepted?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    });
    Server::builder()
        .max_concurrent_streams(streams_max)
        .add_service(Served(methods))
        .serve_with_incoming_shutdown(connections, end)
        .await?;
    Ok(())
}

/// Waits for the end of standard input.
pub(crate) async fn input_end() {
    let mut rest = Vec::new();
    // An error ends it just as well.
    drop(stdin().read_to_end(&mut rest).await);
}

/// A service as tonic takes it.
#[derive(Clone, Debug)]
struct Served<M>(M);

impl<M: Methods> NamedService for Served<M> {
    const NAME: &'static str = M::NAME;
}

impl<M: Methods> Service<http::Request<Body>> for Served<M> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.0.clone().answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}
