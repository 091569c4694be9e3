//! Calls that are told line by line on standard input.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

/// Makes what each line says, one after the other over one connection, and says what came of it; both are JSON.
pub(crate) async fn answer_each<Q, A>(
    target: SocketAddr,
    make: impl AsyncFn(&mut Grpc<Channel>, Q) -> Result<A, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>>
where
    Q: DeserializeOwned,
    A: Serialize,
{
    let endpoint = Endpoint::from_shared(format!("http://{target}"))?;
    let mut grpc = Grpc::new(endpoint.connect().await?);
    crate::say("connected")?;
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = make(&mut grpc, serde_json::from_str(&line)?).await?;
        crate::say(&serde_json::to_string(&answer)?)?;
    }
    Ok(())
}
