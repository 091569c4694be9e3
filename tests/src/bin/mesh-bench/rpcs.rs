//! The client of the meter's benchmark: unary RPCs of 1 KiB each way in a closed loop, over connections that stay.

use crate::output::say;
use http::uri::PathAndQuery;
use mesh_tests::error::Context;
use mesh_tests::load::{Bare, Call, SERVICE};
use mesh_tests::peer::monotonic_ns;
use mesh_tests::{Error, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

/// Time before a slice in which RPCs are made and not counted: caches belong to somebody else yet.
const WARM_UP: Duration = Duration::from_millis(20);

/// What came of one slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// RPCs that were answered rightly.
    pub(crate) rpcs: u64,
    /// RPCs that were not.
    pub(crate) failed: u64,
    /// How long it was.
    pub(crate) wall_ns: u64,
    /// CPU time of this process meanwhile.
    pub(crate) cpu_ns: u64,
    /// Durations of all RPCs, sorted.
    pub(crate) times_ns: Vec<u32>,
}

/// Answers each line `MS` with the [`Slice`] of so many ms.
pub(crate) fn make(target: SocketAddr, connections: u32, streams: u32) -> Result {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "start tokio")?;
    runtime.block_on(async {
        let mut channels = Vec::new();
        for _ in 0..connections {
            channels.push(connect(target).await?);
        }
        say("connected")?;
        let mut input = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = input.next_line().await.context(|| "read standard input")? {
            let length = line.parse().map(Duration::from_millis);
            let length = length.map_err(|_invalid| unreadable("standard input", &line))?;
            slice(&channels, streams, WARM_UP).await?;
            let slice = slice(&channels, streams, length).await?;
            let text = serde_json::to_string(&slice)
                .map_err(std::io::Error::from)
                .context(|| "write a slice as JSON")?;
            say(&text)?;
        }
        Ok(())
    })
}

async fn connect(target: SocketAddr) -> Result<Channel> {
    let failed =
        |error: tonic::transport::Error| unreadable(&target.to_string(), &error.to_string());
    Endpoint::from_shared(format!("http://{target}"))
        .map_err(failed)?
        .connect()
        .await
        .map_err(failed)
}

fn unreadable(from: &str, answer: &str) -> Error {
    Error::Unreadable {
        from: from.to_owned(),
        answer: answer.to_owned(),
    }
}

async fn slice(channels: &[Channel], streams: u32, length: Duration) -> Result<Slice> {
    let request: bytes::Bytes = {
        let call = Call::unary("Get", 0);
        let mut request = call.order().to_vec();
        request.resize(call.request_bytes as usize, 0);
        request.into()
    };
    let begin = monotonic_ns();
    let cpu = cpu_ns();
    let end = begin + u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let path = Arc::new(format!("/{SERVICE}/Get"));
    let mut workers = JoinSet::new();
    for channel in channels {
        for _ in 0..streams {
            let worker = work(channel.clone(), request.clone(), Arc::clone(&path), end);
            workers.spawn(worker);
        }
    }
    let mut slice = Slice {
        rpcs: 0,
        failed: 0,
        wall_ns: 0,
        cpu_ns: 0,
        times_ns: Vec::new(),
    };
    while let Some(worked) = workers.join_next().await {
        let (times, failed) = worked
            .map_err(std::io::Error::from)
            .context(|| "make RPCs")?;
        slice.times_ns.extend(times);
        slice.failed += failed;
    }
    slice.wall_ns = monotonic_ns() - begin;
    slice.cpu_ns = cpu_ns() - cpu;
    slice.rpcs = slice.times_ns.len() as u64;
    slice.times_ns.sort_unstable();
    Ok(slice)
}

/// One RPC after the other until the time has come; gives their durations in ns, and how many failed.
async fn work(
    channel: Channel,
    request: bytes::Bytes,
    path: Arc<String>,
    end: u64,
) -> (Vec<u32>, u64) {
    let mut grpc = Grpc::new(channel);
    let mut times = Vec::new();
    let mut failed = 0;
    let mut begin = monotonic_ns();
    while begin < end {
        let is_right = match (grpc.ready().await, PathAndQuery::try_from(path.as_str())) {
            (Ok(()), Ok(path)) => {
                let reply = grpc.unary(Request::new(request.clone()), path, Bare).await;
                matches!(reply, Ok(reply) if reply.get_ref().len() == request.len())
            }
            _ => false,
        };
        let now = monotonic_ns();
        if is_right {
            times.push(u32::try_from(now - begin).unwrap_or(u32::MAX));
        } else {
            failed += 1;
        }
        begin = now;
    }
    (times, failed)
}

#[expect(clippy::cast_sign_loss, reason = "CPU time is not negative")]
fn cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}
