//! The client of `mesh.test.Load`: works off plans and says what it saw.

use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_tests::load::{Bare, Call, ORDER_BYTES, Plan, SERVICE, STATUS_NAMES, Shape, Truth};
use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

/// A plan that all workers take their calls from.
#[derive(Debug)]
struct Work {
    plan: Plan,
    next: AtomicUsize,
    truth: Mutex<Truth>,
}

/// Works off the plans over connections that stay: the first at once, each other after a line of input.
pub(crate) async fn load(
    target: SocketAddr,
    connections: u32,
    streams: u32,
    plans: &[&str],
) -> Result<(), Box<dyn Error>> {
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(
            Endpoint::from_shared(format!("http://{target}"))?
                .connect()
                .await?,
        );
    }
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    for (number, plan) in plans.iter().enumerate() {
        if number > 0 {
            input.next_line().await?;
        }
        let text = std::fs::read_to_string(plan)?;
        let work = Arc::new(Work {
            plan: Plan::parse(&text).ok_or("not a plan")?,
            next: AtomicUsize::new(0),
            truth: Mutex::default(),
        });
        let mut workers = JoinSet::new();
        for channel in &channels {
            for _ in 0..streams {
                workers.spawn(Arc::clone(&work).carry_out(Grpc::new(channel.clone())));
            }
        }
        while let Some(ended) = workers.join_next().await {
            ended?;
        }
        let truth = work.truth.lock().unwrap_or_else(PoisonError::into_inner);
        crate::say(&serde_json::to_string(&*truth)?)?;
    }
    Ok(())
}

impl Work {
    async fn carry_out(self: Arc<Self>, mut grpc: Grpc<Channel>) {
        while let Some(call) = self
            .plan
            .calls
            .get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            let begin = Instant::now();
            let (status, replies) = perform(&mut grpc, call).await;
            let duration_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let name = STATUS_NAMES[status.code() as usize];
            let is_right = replies == expected_replies(call) && name == call.status_name();
            let mut truth = self.truth.lock().unwrap_or_else(PoisonError::into_inner);
            truth.add(&call.method, name, duration_ns);
            if !is_right {
                truth.wrong += 1;
                truth
                    .first_wrong
                    .get_or_insert_with(|| format!("{call:?}: {status}, {replies:?}"));
            }
        }
    }
}

/// Makes a call; gives its status and the size of each reply.
async fn perform(grpc: &mut Grpc<Channel>, call: &Call) -> (Status, Vec<usize>) {
    let mut replies = Vec::new();
    let status = match attempt(grpc, call, &mut replies).await {
        Ok(()) => Status::ok(""),
        Err(status) => status,
    };
    (status, replies)
}

async fn attempt(
    grpc: &mut Grpc<Channel>,
    call: &Call,
    replies: &mut Vec<usize>,
) -> Result<(), Status> {
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::try_from(format!("/{SERVICE}/{}", call.method))
        .map_err(|error| Status::internal(error.to_string()))?;
    let mut requests = requests(call);
    match Shape::of(&call.method).unwrap_or(Shape::Unary) {
        Shape::Unary => {
            let request = Request::new(requests.remove(0));
            let reply = grpc.unary(request, path, Bare).await?;
            replies.push(reply.get_ref().len());
            Ok(())
        }
        Shape::ServerStream => {
            let request = Request::new(requests.remove(0));
            read_all(grpc.server_streaming(request, path, Bare).await?, replies).await
        }
        Shape::ClientStream => {
            let request = Request::new(tokio_stream::iter(requests));
            let reply = grpc.client_streaming(request, path, Bare).await?;
            replies.push(reply.get_ref().len());
            Ok(())
        }
        Shape::Both => {
            let request = Request::new(tokio_stream::iter(requests));
            read_all(grpc.streaming(request, path, Bare).await?, replies).await
        }
    }
}

async fn read_all(
    response: Response<Streaming<Bytes>>,
    replies: &mut Vec<usize>,
) -> Result<(), Status> {
    let mut messages = response.into_inner();
    while let Some(reply) = messages.message().await? {
        replies.push(reply.len());
    }
    Ok(())
}

fn requests(call: &Call) -> Vec<Bytes> {
    let mut first = call.order().to_vec();
    first.resize((call.request_bytes as usize).max(ORDER_BYTES), 0);
    let rest = Bytes::from(vec![0; call.request_bytes as usize]);
    std::iter::once(first.into())
        .chain(std::iter::repeat_n(
            rest,
            usize::from(call.requests).saturating_sub(1),
        ))
        .collect()
}

fn expected_replies(call: &Call) -> Vec<usize> {
    let count = match Shape::of(&call.method) {
        Some(Shape::ServerStream) => call.replies,
        Some(Shape::Both) => call.requests,
        Some(Shape::Unary | Shape::ClientStream) => u8::from(call.status == 0),
        None => 0,
    };
    vec![call.reply_bytes as usize; count.into()]
}
