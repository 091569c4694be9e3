//! A server of one page over HTTP/2 with prior knowledge: what `h2spec` asks for.

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use http::{Method, Request, Response};
use std::error::Error;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

/// Its body: more than a peer with a small window takes at once.
const PAGE: Bytes = Bytes::from_static(&[b'm'; 2_000]);

/// Requests at a time on a connection: h2spec looks whether there is a limit.
const STREAMS_MAX: u32 = 100;

/// Serves until it is killed.
pub(crate) async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    crate::say("listening")?;
    loop {
        let (stream, _) = listener.accept().await?;
        let stream = stream.into_std()?;
        tokio::spawn(async move {
            // A peer that breaks the protocol, as h2spec does, ends its own connection only.
            drop(converse(stream).await);
        });
    }
}

/// Ends the connection by FIN whatever the peer has said: a socket that is closed with bytes unread ends by RST, and h2spec
/// wants to see an end.
async fn converse(stream: std::net::TcpStream) -> Result<(), Box<dyn Error>> {
    let mut rest = TcpStream::from_std(stream.try_clone()?)?;
    drop(serve_requests(TcpStream::from_std(stream)?).await);
    rest.shutdown().await?;
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn serve_requests(stream: TcpStream) -> Result<(), h2::Error> {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(STREAMS_MAX);
    let mut connection = builder.handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, response) = request?;
        tokio::spawn(async move {
            drop(answer(request, response).await);
        });
    }
    Ok(())
}

/// Reads the request to its end, then answers; to HEAD with a head alone (RFC 9110, 9.3.2).
async fn answer(
    request: Request<h2::RecvStream>,
    mut response: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let is_head = request.method() == Method::HEAD;
    let mut body = request.into_body();
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece?.len())?;
    }
    let mut page = response.send_response(Response::new(()), is_head)?;
    if is_head {
        return Ok(());
    }
    page.send_data(PAGE, true)
}
