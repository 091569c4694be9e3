//! The client of `mesh.test.Features`: tries everything out and says what went wrong.

use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_tests::features::{Report, SCENARIOS, SERVICE};
use mesh_tests::load::Bare;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Streaming};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How long a scenario may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Calls at a time on one connection.
const STREAMS: usize = 1_000;

const FOUR_MIB: usize = 4 << 20;

/// Tries everything out and prints the report.
pub(crate) async fn features(target: SocketAddr) -> Outcome {
    let channel = Endpoint::from_shared(format!("http://{target}"))?
        .connect()
        .await?;
    let client = Client { channel };
    let mut report = Report::default();
    for name in SCENARIOS {
        let wrong = match tokio::time::timeout(LIMIT, client.try_out(name, &mut report)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(late) => Some(late.to_string()),
        };
        report.scenarios.insert(name.to_owned(), wrong);
    }
    crate::say(&serde_json::to_string(&report)?)?;
    Ok(())
}

struct Client {
    channel: Channel,
}

impl Client {
    async fn try_out(&self, scenario: &str, report: &mut Report) -> Outcome {
        match scenario {
            "unary" => self.echo(1_024).await,
            "client_streaming" => self.client_streaming().await,
            "server_streaming" => self.server_streaming().await,
            "bidirectional" => self.bidirectional().await,
            "metadata" => self.metadata().await,
            "early_headers" => self.early_headers().await,
            "deadline" => self.deadline().await,
            "cancellation" => self.cancellation().await,
            "four_mib" => self.echo(FOUR_MIB).await,
            "compression" => self.compression().await,
            "thousand_streams" => self.thousand_streams().await,
            "peer" => {
                let reply = self.unary("Peer", Request::new(Bytes::new())).await?;
                report.seen_at = Some(std::str::from_utf8(reply.get_ref())?.parse()?);
                Ok(())
            }
            _ => Err("no such scenario".into()),
        }
    }

    async fn unary(&self, method: &str, request: Request<Bytes>) -> Outcome<Response<Bytes>> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        Ok(grpc.unary(request, path(method)?, Bare).await?)
    }

    /// A call with one request and a stream of replies.
    async fn stream(
        &self,
        method: &str,
        request: Request<Bytes>,
    ) -> Outcome<Response<Streaming<Bytes>>> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        Ok(grpc.server_streaming(request, path(method)?, Bare).await?)
    }

    async fn echo(&self, length: usize) -> Outcome {
        let request = Bytes::from(vec![7; length]);
        let reply = self.unary("Echo", Request::new(request.clone())).await?;
        same(reply.get_ref(), &request)
    }

    async fn client_streaming(&self) -> Outcome {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        let requests = std::iter::repeat_n(Bytes::from_static(&[7; 100]), 5);
        let request = Request::new(tokio_stream::iter(requests));
        let reply = grpc.client_streaming(request, path("Count")?, Bare).await?;
        same(reply.get_ref(), b"5 500")
    }

    async fn server_streaming(&self) -> Outcome {
        let request = Request::new(Bytes::from_static(b"7"));
        let mut replies = self.stream("Spread", request).await?.into_inner();
        for number in 0..7 {
            let reply = replies.message().await?.ok_or("too few replies")?;
            same(&reply, number.to_string().as_bytes())?;
        }
        end(&mut replies).await
    }

    async fn bidirectional(&self) -> Outcome {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await?;
        let (requests, stream) = mpsc::channel(1);
        let request = Request::new(ReceiverStream::new(stream));
        let replies = grpc.streaming(request, path("Echo")?, Bare).await?;
        let mut replies = replies.into_inner();
        for number in 0..5 {
            let request = Bytes::from(number.to_string());
            requests.send(request.clone()).await?;
            let reply = replies.message().await?.ok_or("too few replies")?;
            same(&reply, &request)?;
        }
        drop(requests);
        end(&mut replies).await
    }

    async fn metadata(&self) -> Outcome {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut request = Request::new(Bytes::from_static(b"x"));
        request
            .metadata_mut()
            .insert("x-text", MetadataValue::from_static("some text"));
        request
            .metadata_mut()
            .insert_bin("x-bytes-bin", MetadataValue::from_bytes(&bytes));
        let replies = self.stream("Echo", request).await?;
        check_metadata(replies.metadata(), &bytes)?;
        let mut replies = replies.into_inner();
        replies.message().await?.ok_or("no reply")?;
        end(&mut replies).await?;
        let trailers = replies.trailers().await?.ok_or("no trailers")?;
        check_metadata(&trailers, &bytes)
    }

    async fn early_headers(&self) -> Outcome {
        const KEY: Bytes = Bytes::from_static(b"tonic-early");
        // Comes with the headers, before the reply is on its way: a proxy that waits for it waits for ever.
        let mut replies = self.stream("Hold", Request::new(KEY)).await?.into_inner();
        self.unary("Release", Request::new(KEY)).await?;
        same(&replies.message().await?.ok_or("no reply")?, &KEY)?;
        end(&mut replies).await
    }

    async fn deadline(&self) -> Outcome {
        const KEY: Bytes = Bytes::from_static(b"tonic-deadline");
        let mut request = Request::new(KEY);
        // Long enough for a busy machine to bring the call to the server.
        request.set_timeout(Duration::from_secs(1));
        let mut replies = self.stream("Hold", request).await?.into_inner();
        match replies.message().await {
            Err(status) if status.code() == Code::DeadlineExceeded => {}
            other => return Err(format!("{other:?}").into()),
        }
        self.unary("Ended", Request::new(KEY)).await?;
        Ok(())
    }

    async fn cancellation(&self) -> Outcome {
        const KEY: Bytes = Bytes::from_static(b"tonic-cancel");
        drop(self.stream("Hold", Request::new(KEY)).await?);
        self.unary("Ended", Request::new(KEY)).await?;
        Ok(())
    }

    async fn compression(&self) -> Outcome {
        let mut grpc = Grpc::new(self.channel.clone())
            .send_compressed(Gzip)
            .accept_compressed(Gzip);
        grpc.ready().await?;
        let request = Bytes::from(vec![0; 100_000]);
        let reply = grpc
            .unary(Request::new(request.clone()), path("Squeeze")?, Bare)
            .await?;
        if reply.metadata().get("grpc-encoding").is_none() {
            return Err("the reply is not compressed".into());
        }
        same(reply.get_ref(), &request)
    }

    async fn thousand_streams(&self) -> Outcome {
        let mut calls = JoinSet::new();
        for _ in 0..STREAMS {
            let mut grpc = Grpc::new(self.channel.clone());
            let path = path("Gather")?;
            calls.spawn(async move {
                let request = Request::new(Bytes::from(STREAMS.to_string()));
                grpc.ready().await.map_err(|error| error.to_string())?;
                let reply = grpc.unary(request, path, Bare).await;
                reply.map(drop).map_err(|status| status.to_string())
            });
        }
        while let Some(ended) = calls.join_next().await {
            ended??;
        }
        Ok(())
    }
}

fn path(method: &str) -> Outcome<PathAndQuery> {
    Ok(PathAndQuery::try_from(format!("/{SERVICE}/{method}"))?)
}

fn same(seen: &[u8], wanted: &[u8]) -> Outcome {
    if seen == wanted {
        return Ok(());
    }
    let beginning = &seen[..seen.len().min(40)];
    Err(format!("{} bytes: {}", seen.len(), beginning.escape_ascii()).into())
}

async fn end(replies: &mut Streaming<Bytes>) -> Outcome {
    match replies.message().await? {
        None => Ok(()),
        Some(_) => Err("one reply too many".into()),
    }
}

fn check_metadata(seen: &MetadataMap, bytes: &[u8]) -> Outcome {
    let text = seen.get("x-text").ok_or("no x-text")?;
    same(text.as_bytes(), b"some text")?;
    let binary = seen.get_bin("x-bytes-bin").ok_or("no x-bytes-bin")?;
    same(&binary.to_bytes()?, bytes)
}
