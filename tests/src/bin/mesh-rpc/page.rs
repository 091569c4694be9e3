//! A server of one page over HTTP/2 with prior knowledge: what `h2spec` asks for.

use bytes::Bytes;
use h2::server::{SendResponse, handshake};
use http::{Request, Response};
use std::error::Error;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

/// Its body: more than a peer with a small window takes at once.
const PAGE: Bytes = Bytes::from_static(&[b'm'; 2_000]);

/// Serves until it is killed.
pub(crate) async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    crate::say("listening")?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A peer that breaks the protocol, as h2spec does, ends its own connection only.
            drop(converse(stream).await);
        });
    }
}

async fn converse(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, response) = request?;
        tokio::spawn(async move {
            drop(answer(request, response).await);
        });
    }
    Ok(())
}

/// Reads the request to its end, then answers.
async fn answer(
    request: Request<h2::RecvStream>,
    mut response: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece?.len())?;
    }
    let mut page = response.send_response(Response::new(()), false)?;
    page.send_data(PAGE, true)
}
