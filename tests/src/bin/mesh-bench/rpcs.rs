//! The client of the benchmarks: unary RPCs in a closed loop, over connections that stay.

use crate::output::say;
use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_tests::error::Context;
use mesh_tests::load::{Bare, Call, SERVICE};
use mesh_tests::network::Pod;
use mesh_tests::peer::monotonic_ns;
use mesh_tests::process::Process;
use mesh_tests::{Error, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::process::Command;
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

/// How long one slice may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Connections.
    pub(crate) connections: u32,
    /// RPCs at a time on each.
    pub(crate) streams: u32,
    /// Bytes of each request and of each reply.
    pub(crate) bytes: u32,
}

/// A client in a pod: this program again.
pub(crate) struct Client {
    process: Process,
}

impl Client {
    /// Starts one, connected.
    pub(crate) fn start(pod: &Pod, target: SocketAddr, load: Load) -> Result<Self> {
        let own = std::env::current_exe().context(|| "find the running program")?;
        let mut command = Command::new(own);
        command.args(["rpcs".to_owned(), target.to_string()]);
        let numbers = [load.connections, load.streams, load.bytes];
        command.args(numbers.map(|number| number.to_string()));
        let process = pod.spawn(command)?;
        process.line(LIMIT)?;
        Ok(Self { process })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Makes RPCs for so long.
    pub(crate) fn slice(&mut self, slice_ms: u32) -> Result<Slice> {
        self.process.say(&slice_ms.to_string())?;
        let line = self.process.line(LIMIT)?;
        serde_json::from_str(&line)
            .map_err(|error| unreadable("mesh-bench rpcs", &format!("{error}: {line}")))
    }
}

/// What came of one slice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// RPCs that were answered rightly.
    pub(crate) rpcs: u64,
    /// RPCs that were, together with those made to warm up before.
    pub(crate) rpcs_with_warm_up: u64,
    /// RPCs that were not answered rightly.
    pub(crate) failed: u64,
    /// How long it was.
    pub(crate) wall_ns: u64,
    /// CPU time of this process meanwhile.
    pub(crate) cpu_ns: u64,
    /// Durations of all RPCs, sorted.
    pub(crate) times_ns: Vec<u32>,
}

/// Answers each line `MS` with the [`Slice`] of so many ms.
pub(crate) fn make(target: SocketAddr, load: Load) -> Result {
    let request = request(load.bytes);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "start tokio")?;
    runtime.block_on(async {
        let mut channels = Vec::new();
        for _ in 0..load.connections {
            channels.push(connect(target).await?);
        }
        say("connected")?;
        let mut input = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = input.next_line().await.context(|| "read standard input")? {
            let length = line.parse().map(Duration::from_millis);
            let length = length.map_err(|_invalid| unreadable("standard input", &line))?;
            let before = slice(&channels, load.streams, &request, WARM_UP).await?;
            let mut slice = slice(&channels, load.streams, &request, length).await?;
            slice.rpcs_with_warm_up = before.rpcs + slice.rpcs;
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

/// A request for a reply of the same size.
fn request(bytes: u32) -> Bytes {
    let call = Call {
        reply_bytes: bytes,
        ..Call::unary("Get", 0)
    };
    let mut request = call.order().to_vec();
    request.resize(bytes as usize, 0);
    request.into()
}

async fn slice(
    channels: &[Channel],
    streams: u32,
    request: &Bytes,
    length: Duration,
) -> Result<Slice> {
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
        rpcs_with_warm_up: 0,
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
async fn work(channel: Channel, request: Bytes, path: Arc<String>, end: u64) -> (Vec<u32>, u64) {
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
