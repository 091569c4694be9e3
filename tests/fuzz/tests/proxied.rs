//! Calls between an end of a connection as the proxy has it and one of `h2`, each way: what goes there comes back.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use mesh_agent::http2::{Connection, Head, Piece, WireLimits};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// More than all messages of a connection: an end that writes does not read meanwhile.
const BUFFER_BYTES: usize = 1 << 22;

/// A message: what is sent as a request, and comes back as its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name =
        "x-[a-d]|grpc-[a-z]{1,9}|[a-z]{1,20}-z".prop_map(|name| name.parse().expect("a name"));
    let value = "[!-~]{0,30}|[a-z]{200,700}".prop_map(|value| value.parse().expect("a value"));
    let field = (name, value);
    vec(field, 0..6).prop_map(|fields: Vec<(HeaderName, HeaderValue)>| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    })
}

fn message() -> impl Strategy<Value = Message> {
    let body_bytes = prop_oneof![Just(0), 1..500_usize, 10_000..200_000_usize];
    let trailers = prop::option::of(headers());
    (headers(), body_bytes, any::<u8>(), trailers).prop_map(|(headers, bytes, byte, trailers)| {
        Message {
            headers,
            body: (0..bytes)
                .map(|at| byte.wrapping_add(at.to_le_bytes()[0]))
                .collect(),
            trailers,
        }
    })
}

/// A stream of the proxy's end, on which something is sent and something comes.
struct Moving {
    place: usize,
    came: Message,
    is_whole: bool,
    to_send: Bytes,
    trailers: Option<HeaderMap>,
    is_sent: bool,
    /// What comes is what is sent.
    is_echo: bool,
    has_head: bool,
}

impl Moving {
    /// Sends a message, whose head has gone already.
    fn sending(place: usize, message: Message) -> Self {
        Self {
            place,
            came: Message::default(),
            is_whole: false,
            to_send: message.body.into(),
            trailers: message.trailers,
            is_sent: false,
            is_echo: false,
            has_head: false,
        }
    }

    /// Sends back what comes, when all of it has.
    fn echoing(place: usize) -> Self {
        Self {
            is_echo: true,
            has_head: true,
            ..Self::sending(place, Message::default())
        }
    }

    /// Does what can be done now.
    fn advance(&mut self, connection: &mut Connection) {
        let context = Context::from_waker(Waker::noop());
        if !self.has_head {
            let Poll::Ready(head) = connection.poll_head(self.place, &context) else {
                return self.send(connection);
            };
            self.has_head = true;
            self.came.headers = head.expect("a response").headers;
        }
        while !self.is_whole
            && let Poll::Ready(piece) = connection.poll_piece(self.place, &context)
        {
            match piece.expect("a body without a cut") {
                Piece::Data(data) => {
                    connection.release(self.place, data.len());
                    self.came.body.extend_from_slice(&data);
                }
                Piece::Trailers(trailers) => {
                    self.came.trailers = Some(trailers);
                    self.is_whole = true;
                }
                Piece::End => self.is_whole = true,
            }
        }
        if self.is_echo && self.is_whole {
            self.is_echo = false;
            self.to_send = self.came.body.clone().into();
            self.trailers = self.came.trailers.clone();
        }
        self.send(connection);
    }

    fn send(&mut self, connection: &mut Connection) {
        if self.is_echo || self.is_sent {
            return;
        }
        let context = Context::from_waker(Waker::noop());
        while !self.to_send.is_empty() {
            let sent = connection.poll_send(self.place, &context, &mut self.to_send, false);
            let Poll::Ready(sent) = sent else {
                return;
            };
            sent.expect("a stream that is open");
        }
        let finished = connection.finish_stream(self.place, self.trailers.take());
        finished.expect("a stream that is open");
        self.is_sent = true;
    }
}

/// Moves the proxy's end until all streams are done (a client's), or the peer is gone (a server's).
async fn drive(
    mut connection: Connection,
    mut io: DuplexStream,
    mut streams: Vec<Moving>,
) -> Vec<Message> {
    let is_client = !streams.is_empty();
    let mut input = BytesMut::new();
    loop {
        while let Some((place, head)) = connection.next_request() {
            let mut answer = Response::new(()).into_parts().0;
            answer.headers = head.headers;
            let responded = connection.respond(place, &answer, false);
            responded.expect("a stream that is open");
            streams.push(Moving::echoing(place));
        }
        // What one stream sends leaves no room for the next, until some of it has gone.
        loop {
            for stream in &mut streams {
                stream.advance(&mut connection);
            }
            if connection.output().is_empty() {
                break;
            }
            write(&mut connection, &mut io).await;
        }
        if is_client
            && streams
                .iter()
                .all(|stream| stream.is_whole && stream.is_sent)
        {
            return streams.into_iter().map(|stream| stream.came).collect();
        }
        if io.read_buf(&mut input).await.is_ok_and(|count| count > 0) {
            connection.receive(&mut input, Instant::now());
        } else {
            return Vec::new();
        }
    }
}

async fn write(connection: &mut Connection, io: &mut DuplexStream) {
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    let filled = connection.output().slices(&mut slices);
    let bytes: Vec<u8> = slices[..filled]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    connection.output().advance(bytes.len());
    connection.flushed();
    // A peer that has all it wants may be gone.
    io.write_all(&bytes).await.ok();
}

/// What comes of a body, and what follows it.
async fn collect(headers: HeaderMap, mut body: RecvStream) -> Message {
    let mut message = Message {
        headers,
        ..Message::default()
    };
    while let Some(data) = body.data().await {
        let data = data.expect("a body without a cut");
        let released = body.flow_control().release_capacity(data.len());
        released.expect("what came");
        message.body.extend_from_slice(&data);
    }
    message.trailers = body.trailers().await.expect("an end");
    message
}

fn send(stream: &mut h2::SendStream<Bytes>, message: &Message) {
    let is_end = message.trailers.is_none();
    let sent = stream.send_data(message.body.clone().into(), is_end);
    sent.expect("a stream that is open");
    if let Some(trailers) = &message.trailers {
        let sent = stream.send_trailers(trailers.clone());
        sent.expect("a stream that is open");
    }
}

/// Requests of `h2`'s client, answered by the proxy's server.
async fn from_h2(messages: &[Message]) -> Vec<Message> {
    let (io, peer) = duplex(BUFFER_BYTES);
    let server = Connection::server(WireLimits::default(), Instant::now());
    tokio::spawn(drive(server, io, Vec::new()));
    let (requests, connection) = h2::client::handshake(peer).await.expect("a handshake");
    tokio::spawn(connection);
    let mut responses = Vec::new();
    for message in messages {
        let mut request = Request::post("http://inventory/shop.Inventory/Reserve");
        *request.headers_mut().expect("a request") = message.headers.clone();
        let request = request.body(()).expect("a request");
        let mut ready = requests.clone().ready().await.expect("a connection");
        let (response, mut body) = ready.send_request(request, false).expect("a request");
        send(&mut body, message);
        responses.push(response);
    }
    // All at once: a body that nobody reads takes the connection's window.
    let bodies: Vec<_> = responses
        .into_iter()
        .map(|response| {
            tokio::spawn(async {
                let (head, body) = response.await.expect("a response").into_parts();
                collect(head.headers, body).await
            })
        })
        .collect();
    let mut came = Vec::new();
    for body in bodies {
        came.push(body.await.expect("a body that was collected"));
    }
    came
}

/// Requests of the proxy's client, answered by `h2`'s server.
async fn to_h2(messages: &[Message]) -> Vec<Message> {
    let (io, peer) = duplex(BUFFER_BYTES);
    tokio::spawn(async move {
        let mut server = h2::server::handshake(peer).await.expect("a handshake");
        while let Some(Ok((request, mut respond))) = server.accept().await {
            tokio::spawn(async move {
                let (head, body) = request.into_parts();
                let mut response = Response::new(());
                *response.headers_mut() = head.headers;
                let sent = respond.send_response(response, false);
                let mut stream = sent.expect("a stream that is open");
                send(&mut stream, &collect(HeaderMap::new(), body).await);
            });
        }
    });
    let mut client = Connection::client(WireLimits::default(), Instant::now());
    let uri = Uri::from_static("http://inventory/shop.Inventory/Reserve");
    let opened = messages.iter().map(|message| {
        let head = Head {
            method: &Method::POST,
            uri: &uri,
            headers: &message.headers,
            instead: &HeaderMap::new(),
        };
        let place = client.open(&head, false).expect("a new connection");
        Moving::sending(place, message.clone())
    });
    let streams = opened.collect();
    drive(client, io, streams).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_goes_between_the_proxy_and_h2_comes_back_as_it_was(messages in vec(message(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without a driver");
        prop_assert_eq!(&runtime.block_on(from_h2(&messages)), &messages);
        prop_assert_eq!(&runtime.block_on(to_h2(&messages)), &messages);
    }
}
