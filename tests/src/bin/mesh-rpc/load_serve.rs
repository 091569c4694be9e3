//! The server of `mesh.test.Load`: does what the first message of a call orders.

use crate::service::{self, Methods};
use bytes::Bytes;
use mesh_tests::load::{Bare, Call, SERVICE, Shape};
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{
    ClientStreamingService, Grpc, ServerStreamingService, StreamingService, UnaryService,
};
use tonic::{Code, Request, Response, Status, Streaming};

type Pending<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;
type Replies = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Serves until standard input ends, so many calls at a time on each connection if there is a limit.
pub(crate) async fn serve(
    listen: SocketAddr,
    streams_max: Option<u32>,
) -> Result<(), Box<dyn Error>> {
    service::serve(listen, Load, streams_max, service::input_end()).await
}

#[derive(Clone, Copy, Debug)]
struct Load;

impl Methods for Load {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let mut grpc = Grpc::new(Bare);
        match Shape::of(method) {
            Some(Shape::Unary) => grpc.unary(Answer, request).await,
            Some(Shape::ServerStream) => grpc.server_streaming(Answer, request).await,
            Some(Shape::ClientStream) => grpc.client_streaming(Answer, request).await,
            Some(Shape::Both) => grpc.streaming(Answer, request).await,
            None => Status::unimplemented("no such method").into_http(),
        }
    }
}

/// Every method.
#[derive(Clone, Copy, Debug)]
struct Answer;

impl UnaryService<Bytes> for Answer {
    type Response = Bytes;
    type Future = Pending<Bytes>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(async move {
            let order = read(request.get_ref())?;
            begin(&order).await;
            end(&order)?;
            Ok(Response::new(reply(&order)))
        })
    }
}

impl ServerStreamingService<Bytes> for Answer {
    type Response = Bytes;
    type ResponseStream = Replies;
    type Future = Pending<Replies>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(async move {
            let order = read(request.get_ref())?;
            begin(&order).await;
            let replies = (0..order.replies).map(|_| Ok(reply(&order)));
            let all: Vec<_> = replies.chain(end(&order).err().map(Err)).collect();
            Ok(Response::new(Box::pin(tokio_stream::iter(all)) as Replies))
        })
    }
}

impl ClientStreamingService<Bytes> for Answer {
    type Response = Bytes;
    type Future = Pending<Bytes>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let mut requests = request.into_inner();
            let order = first(&mut requests).await?;
            while requests.message().await?.is_some() {}
            begin(&order).await;
            end(&order)?;
            Ok(Response::new(reply(&order)))
        })
    }
}

impl StreamingService<Bytes> for Answer {
    type Response = Bytes;
    type ResponseStream = Replies;
    type Future = Pending<Replies>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        Box::pin(async move {
            let mut requests = request.into_inner();
            let order = first(&mut requests).await?;
            begin(&order).await;
            let (replies, stream) = mpsc::channel(1);
            tokio::spawn(async move {
                let mut more = Ok(Some(Bytes::new()));
                while let Ok(Some(_)) = more {
                    // Fails only if the client has left: then there is nobody to tell.
                    if replies.send(Ok(reply(&order))).await.is_err() {
                        return;
                    }
                    more = requests.message().await;
                }
                if let Err(status) = more.and(end(&order)) {
                    drop(replies.send(Err(status)).await);
                }
            });
            Ok(Response::new(
                Box::pin(ReceiverStream::new(stream)) as Replies
            ))
        })
    }
}

async fn first(requests: &mut Streaming<Bytes>) -> Result<Call, Status> {
    let message = requests.message().await?;
    read(&message.ok_or_else(|| Status::invalid_argument("no request"))?)
}

fn read(message: &[u8]) -> Result<Call, Status> {
    Call::from_order(message).ok_or_else(|| Status::invalid_argument("no order"))
}

async fn begin(order: &Call) {
    if order.delay_us > 0 {
        tokio::time::sleep(Duration::from_micros(order.delay_us.into())).await;
    }
}

fn end(order: &Call) -> Result<(), Status> {
    match order.status {
        0 => Ok(()),
        code => Err(Status::new(Code::from_i32(code.into()), "as ordered")),
    }
}

fn reply(order: &Call) -> Bytes {
    vec![0; order.reply_bytes as usize].into()
}
