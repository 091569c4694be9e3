//! The client and the server of [`mesh_tests::traced`].

use crate::service::{self, Methods};
use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_tests::load::Bare;
use mesh_tests::traced::{Answer, Call, DELAY_KEY, SERVICE, STATUS_KEY};
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};
use tonic::body::Body;
use tonic::client::Grpc as Client;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

/// Makes a call for every line of standard input, one after the other.
pub(crate) async fn call(target: SocketAddr) -> Result<(), Box<dyn Error>> {
    crate::lines::answer_each(target, make).await
}

async fn make(grpc: &mut Client<Channel>, call: Call) -> Result<Answer, Box<dyn Error>> {
    let path = PathAndQuery::from_maybe_shared(format!("/{}", call.name()))?;
    let mut request = Request::new(Bytes::from_static(b"ping"));
    let metadata = request.metadata_mut();
    metadata.insert(STATUS_KEY, call.status.into());
    metadata.insert(DELAY_KEY, call.delay_ms.into());
    if let Some(parent) = &call.trace_parent {
        metadata.insert("traceparent", AsciiMetadataValue::from_str(parent)?);
    }
    grpc.ready().await?;
    let started_seconds = SystemTime::UNIX_EPOCH.elapsed()?.as_secs_f64();
    let begin = Instant::now();
    let answer = grpc.unary(request, path, Bare).await;
    Ok(Answer {
        status: answer.map_or_else(|status| status.code(), |_| Code::Ok) as i32,
        started_seconds,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// Serves until standard input ends.
pub(crate) async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    service::serve(listen, Traced, None, service::input_end()).await
}

/// `mesh.test.Traced`, every method.
#[derive(Clone, Copy, Debug)]
struct Traced;

impl Methods for Traced {
    const NAME: &'static str = SERVICE;

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        Grpc::new(Bare).unary(AsTold, request).await
    }
}

/// Answers as the call's metadata say.
struct AsTold;

impl UnaryService<Bytes> for AsTold {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let delay_ms = number(request.metadata(), DELAY_KEY);
        let code: i32 = number(request.metadata(), STATUS_KEY);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            if code != 0 {
                return Err(Status::new(Code::from_i32(code), "as told"));
            }
            Ok(Response::new(Bytes::from_static(b"pong")))
        })
    }
}

fn number<T: FromStr + Default>(metadata: &MetadataMap, key: &str) -> T {
    let value = metadata.get(key).and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}
