//! A client of gRPC's interoperability server (`grpc.testing.TestService`) that is silent for long, and then goes on.

use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_tests::load::Bare;
use prost::Message;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// `StreamingOutputCallRequest` of gRPC's `messages.proto`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct Order {
    #[prost(message, repeated, tag = "2")]
    replies: Vec<Reply>,
}

/// `ResponseParameters`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Reply {
    #[prost(int32, tag = "1")]
    size: i32,
    /// The server waits so long before it sends it.
    #[prost(int32, tag = "2")]
    interval_us: i32,
}

/// Is silent between two calls on one connection (`connection`), or between two replies of one stream (`stream`).
pub(crate) async fn silence(case: &str, target: SocketAddr, length: Duration) -> Outcome {
    let endpoint = Endpoint::from_shared(format!("http://{target}"))?;
    let mut grpc = Grpc::new(endpoint.connect().await?);
    match case {
        "connection" => {
            call(&mut grpc).await?;
            tokio::time::sleep(length).await;
            call(&mut grpc).await
        }
        "stream" => stream(&mut grpc, length).await,
        _ => Err("no such case".into()),
    }
}

async fn call(grpc: &mut Grpc<Channel>) -> Outcome {
    grpc.ready().await?;
    let path = PathAndQuery::from_static("/grpc.testing.TestService/EmptyCall");
    grpc.unary(Request::new(Bytes::new()), path, Bare).await?;
    Ok(())
}

async fn stream(grpc: &mut Grpc<Channel>, silence: Duration) -> Outcome {
    grpc.ready().await?;
    let (orders, stream) = mpsc::channel(1);
    let path = PathAndQuery::from_static("/grpc.testing.TestService/FullDuplexCall");
    let request = Request::new(ReceiverStream::new(stream));
    orders.send(order(Duration::ZERO)?).await?;
    let mut replies = grpc.streaming(request, path, Bare).await?.into_inner();
    next(&mut replies).await?;
    orders.send(order(silence)?).await?;
    next(&mut replies).await?;
    drop(orders);
    match replies.message().await? {
        None => Ok(()),
        Some(_) => Err("one reply too many".into()),
    }
}

/// Asks for one reply, after this time.
fn order(after: Duration) -> Outcome<Bytes> {
    let reply = Reply {
        size: 1,
        interval_us: after.as_micros().try_into()?,
    };
    let order = Order {
        replies: vec![reply],
    };
    Ok(order.encode_to_vec().into())
}

async fn next(replies: &mut Streaming<Bytes>) -> Outcome {
    replies.message().await?.ok_or("the stream has ended")?;
    Ok(())
}
