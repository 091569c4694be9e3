//! When a connection to an endpoint gets a PING (gRFC A8). The endpoint is a bare socket: servers do not tell of PINGs.

use super::support::*;
use crate::model::{BackendTraffic, CallTraffic};
use crate::proxy::{PoolTimes, ProxySettings};
use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const MINUTE: Duration = Duration::from_secs(60);

/// How long a connection is silent before it gets a PING; looked at as often, so it may take twice as long.
const SILENCE: Duration = Duration::from_secs(300);

const PREFACE_BYTES: usize = 24;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const ACK: u8 = 1;

/// What came to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Connection,
    Stream,
    Ping,
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 0];
    [&head[..], payload].concat()
}

/// `GOAWAY` with ENHANCE_YOUR_CALM.
fn complaint() -> Vec<u8> {
    let calm = [0, 0, 0, 1, 0, 0, 0, 11];
    frame(GO_AWAY, 0, &[&calm[..], b"too_many_pings"].concat())
}

/// An endpoint that never answers but PINGs. With each word that it is sent it complains, and hangs up.
struct Endpoint {
    address: SocketAddr,
    came: UnboundedReceiver<Came>,
    complain: UnboundedSender<()>,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, came) = unbounded_channel();
        let (complain, mut complaints) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tell.send(Came::Connection).unwrap();
                socket.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
                socket.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
                tokio::select! {
                    () = answer_pings(&mut socket, &tell) => {}
                    Some(()) = complaints.recv() => {
                        socket.write_all(&complaint()).await.unwrap();
                    }
                }
            }
        });
        Self {
            address,
            came,
            complain,
        }
    }

    /// Waits for the next that comes.
    async fn next(&mut self) -> Came {
        self.came.recv().await.unwrap()
    }

    /// What has come and was not looked at.
    async fn all(&mut self) -> Vec<Came> {
        settle().await;
        let mut all = vec![];
        while let Ok(came) = self.came.try_recv() {
            all.push(came);
        }
        all
    }
}

async fn answer_pings(socket: &mut TcpStream, tell: &UnboundedSender<Came>) {
    let mut head = [0; 9];
    while socket.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if socket.read_exact(&mut payload).await.is_err() {
            return;
        }
        match (head[3], head[4]) {
            (PING, 0) => {
                tell.send(Came::Ping).unwrap();
                let answer = frame(PING, ACK, &payload);
                socket.write_all(&answer).await.unwrap();
            }
            (HEADERS, _) => tell.send(Came::Stream).unwrap(),
            _ => {}
        }
    }
}

fn mesh(endpoint: &Endpoint) -> Mesh {
    let backend = backend(&[endpoint.address], BackendTraffic::default());
    let table = table(&backend, rule(&backend, CallTraffic::default()));
    let settings = ProxySettings {
        times: PoolTimes {
            idle: 1_000 * MINUTE,
            ping: SILENCE,
            ..PoolTimes::default()
        },
        ..ProxySettings::default()
    };
    Mesh::with(table, settings)
}

/// Makes a call, for which there is no connection yet, and leaves it open.
async fn watch(
    caller: &SendRequest<Bytes>,
    endpoint: &mut Endpoint,
) -> (ResponseFuture, SendStream<Bytes>) {
    let call = open(caller, request("/shop.Cart/Watch")).await;
    assert_eq!(endpoint.next().await, Came::Connection);
    assert_eq!(endpoint.next().await, Came::Stream);
    call
}

#[tokio::test]
async fn only_a_silent_connection_with_streams_gets_pings_and_never_sooner_than_in_five_minutes() {
    let mut endpoint = Endpoint::start().await;
    let mesh = mesh(&endpoint);
    let caller = mesh.caller().await;
    let (response, mut sender) = watch(&caller, &mut endpoint).await;
    pass(SILENCE - MINUTE).await;
    assert_eq!(endpoint.all().await, []);
    for _ in 0..3 {
        pass(SILENCE + 2 * MINUTE).await;
        assert_eq!(endpoint.next().await, Came::Ping);
        pass(SILENCE - MINUTE).await;
        assert_eq!(endpoint.all().await, []);
    }

    sender.send_reset(h2::Reason::CANCEL);
    drop(response);
    mesh.is_quiet().await;
    pass(500 * MINUTE).await;
    assert_eq!(endpoint.all().await, []);
}

#[tokio::test]
async fn an_endpoint_that_complains_gets_half_as_many_on_its_next_connection() {
    let mut endpoint = Endpoint::start().await;
    let mesh = mesh(&endpoint);
    let caller = mesh.caller().await;
    for silence in [SILENCE, 2 * SILENCE, 4 * SILENCE] {
        let (response, _sender) = watch(&caller, &mut endpoint).await;
        pass(silence - MINUTE).await;
        assert_eq!(endpoint.all().await, [], "{silence:?}");
        pass(silence + 2 * MINUTE).await;
        assert_eq!(endpoint.next().await, Came::Ping, "{silence:?}");

        endpoint.complain.send(()).unwrap();
        assert_eq!(read(response).await.unwrap().code(), "14");
        mesh.is_quiet().await;
    }
}
