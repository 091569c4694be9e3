//! The client of [`mesh_tests::ask`]: makes the calls it is told, whatever their path and headers.

use bytes::Bytes;
use http::HeaderMap;
use http::uri::PathAndQuery;
use mesh_tests::ask::{Answer, Question};
use mesh_tests::load::Bare;
use std::error::Error;
use std::net::SocketAddr;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request};

/// Makes a call for every line of standard input, one after the other, over one connection.
pub(crate) async fn ask(target: SocketAddr) -> Result<(), Box<dyn Error>> {
    crate::lines::answer_each(target, make).await
}

async fn make(grpc: &mut Grpc<Channel>, question: Question) -> Result<Answer, Box<dyn Error>> {
    let path = PathAndQuery::from_maybe_shared(question.path)?;
    let mut request = Request::new(Bytes::from_static(b"ping"));
    for (key, value) in question.headers {
        let key = key.parse::<MetadataKey<Ascii>>()?;
        let value: MetadataValue<Ascii> = value.parse()?;
        request.metadata_mut().append(key, value);
    }
    grpc.ready().await?;
    let answer = match grpc.unary(request, path, Bare).await {
        Ok(reply) => Answer {
            status: Code::Ok as i32,
            identity: identity(reply.get_ref()),
            headers: texts(reply.metadata()),
            ..Answer::default()
        },
        Err(status) => Answer {
            status: status.code() as i32,
            message: status.message().to_owned(),
            headers: texts(status.metadata()),
            ..Answer::default()
        },
    };
    Ok(answer)
}

/// Who answered: the first line.
fn identity(reply: &Bytes) -> String {
    let first = reply.split(|&byte| byte == b'\n').next();
    String::from_utf8_lossy(first.unwrap_or_default()).into_owned()
}

fn texts(metadata: &MetadataMap) -> Vec<(String, String)> {
    let headers: HeaderMap = metadata.clone().into_headers();
    headers
        .iter()
        .map(|(key, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (key.as_str().to_owned(), value.into_owned())
        })
        .collect()
}
