//! Relays a connection as bytes to an endpoint of the service that was asked for.

use super::{Accepted, Connect};
use crate::route::BackendEndpoint;
use std::io;
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Endpoints that are tried, one after the other.
const ATTEMPTS: usize = 3;

/// How long each may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Room for bytes on their way, in each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// Relays until both sides have finished; the end of one direction leaves the other open. What breaks one side resets the other.
/// `random`: any number, which chooses the endpoint.
///
/// # Errors
/// No endpoint could be reached, or one of the sides broke.
pub(super) async fn relay<C: Connect>(
    accepted: Accepted,
    endpoints: &[BackendEndpoint],
    connect: &C,
    random: u32,
) -> io::Result<()> {
    let mut near = accepted.stream;
    let mut failure = io::Error::from(io::ErrorKind::HostUnreachable);
    for endpoint in order(endpoints, random).take(ATTEMPTS) {
        let caller = &accepted.caller;
        let connected = connect.connect(caller.netns, caller.source, endpoint.address);
        let far = timeout(CONNECT_LIMIT, connected).await;
        match far.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(far) => return copy(near, far).await,
            Err(error) => failure = error,
        }
    }
    reset(&mut near);
    Err(failure)
}

async fn copy(mut near: TcpStream, mut far: TcpStream) -> io::Result<()> {
    let copied =
        copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER_BYTES, BUFFER_BYTES).await;
    if copied.is_err() {
        reset(&mut near);
        reset(&mut far);
    }
    copied.map(drop)
}

/// Has the connection end with a reset once it is dropped.
pub(super) fn reset(stream: &mut TcpStream) {
    // Fails for a socket that is broken already.
    stream.set_zero_linger().ok();
}

/// Every endpoint once, the first by its weight.
fn order(endpoints: &[BackendEndpoint], random: u32) -> impl Iterator<Item = &BackendEndpoint> {
    let weight = |endpoint: &BackendEndpoint| u64::from(endpoint.weight);
    let total: u64 = endpoints.iter().map(weight).sum();
    let mut at = (u64::from(random) * total) >> 32;
    let first = endpoints.iter().position(|endpoint| {
        let is_it = at < weight(endpoint);
        at = at.saturating_sub(weight(endpoint));
        is_it
    });
    let (before, from) = endpoints.split_at(first.unwrap_or(0));
    from.iter().chain(before)
}

#[cfg(test)]
mod tests {
    use super::{order, relay};
    use crate::proxy::{Accepted, Caller, PlainConnect};
    use crate::route::BackendEndpoint;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    fn endpoint(address: SocketAddr, weight: u32) -> BackendEndpoint {
        BackendEndpoint {
            address,
            weight,
            workload: None,
            pod: None,
            node: None,
            zone: None,
            is_terminating: false,
        }
    }

    fn ports(endpoints: &[BackendEndpoint], random: u32) -> Vec<u16> {
        let order = order(endpoints, random);
        order.map(|endpoint| endpoint.address.port()).collect()
    }

    #[test]
    fn the_first_is_chosen_by_weight_and_the_others_follow() {
        let endpoints = [(1, 1), (2, 2), (3, 1)]
            .map(|(port, weight)| endpoint(([10, 0, 0, 1], port).into(), weight));
        for (quarter, expected) in [
            (0, [1, 2, 3]),
            (1, [2, 3, 1]),
            (2, [2, 3, 1]),
            (3, [3, 1, 2]),
        ] {
            assert_eq!(ports(&endpoints, quarter << 30), expected);
        }
        assert_eq!(ports(&endpoints, u32::MAX), [3, 1, 2]);
        assert!(ports(&[], 7).is_empty());
    }

    async fn accepted() -> (TcpStream, Accepted) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        let (stream, _) = server.unwrap();
        let accepted = Accepted {
            stream,
            requested: "10.96.0.1:80".parse().unwrap(),
            caller: Caller::default(),
        };
        (client.unwrap(), accepted)
    }

    #[tokio::test]
    async fn the_end_of_one_direction_leaves_the_other_open() {
        let (mut client, accepted) = accepted().await;
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoints = [gone.local_addr().unwrap(), server.local_addr().unwrap()]
            .map(|address| endpoint(address, 1));
        drop(gone);
        let relayed =
            tokio::spawn(async move { relay(accepted, &endpoints, &PlainConnect, 0).await });

        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let mut question = String::new();
        far.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();

        assert_eq!(answer, "answer");
        relayed.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_caller_whose_service_has_no_endpoint_is_reset() {
        let (mut client, accepted) = accepted().await;

        let failed = relay(accepted, &[], &PlainConnect, 0).await;

        assert!(failed.is_err());
        let error = client.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}
