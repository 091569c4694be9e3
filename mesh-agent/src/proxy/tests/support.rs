//! Callers, endpoints and a proxy between them, all in one runtime.

use crate::lifecycle::Drain;
use crate::model::{BackendTraffic, CallTraffic, Kind, ObjectId, ObjectName};
use crate::observe::CallOutcome;
use crate::proxy::{Accepted, Caller, PlainConnect, Proxy, ProxySettings, Shared};
use crate::route::{
    Backend, BackendEndpoint, BackendSetBy, CallSetBy, HeaderEdits, RouteKind, RouteTable,
    RoutedPort, Rule, RuleName, RuleSet, Share,
};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// What the callers of these tests connect to.
pub(super) const REQUESTED: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)), 80);

/// A gRPC message of this content, with its length before it.
pub(super) fn message(content: &[u8]) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
    bytes.extend(content);
    bytes.into()
}

/// Trailers with this status.
pub(super) fn status(code: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.parse().unwrap());
    trailers
}

/// The head of a gRPC answer.
pub(super) fn grpc_head() -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc");
    head.body(()).unwrap()
}

/// One request at an endpoint.
pub(super) struct Served {
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
    /// Which request of this endpoint it is, from 0.
    pub(super) number: usize,
}

impl Served {
    /// Reads the whole request.
    pub(super) async fn body(&mut self) -> Vec<u8> {
        let mut body = vec![];
        while let Some(data) = self.request.body_mut().data().await {
            let data = data.unwrap();
            let flow = self.request.body_mut().flow_control();
            flow.release_capacity(data.len()).unwrap();
            body.extend(data);
        }
        body
    }

    /// Answers with one message and a status.
    pub(super) fn answer(&mut self, content: &[u8], code: &str) {
        let mut sender = self.respond.send_response(grpc_head(), false).unwrap();
        sender.send_data(message(content), false).unwrap();
        sender.send_trailers(status(code)).unwrap();
    }

    /// Answers with a status alone.
    pub(super) fn fail(&mut self, code: &str) {
        let mut head = grpc_head();
        head.headers_mut().extend(status(code));
        self.respond.send_response(head, true).unwrap();
    }
}

/// An endpoint that serves each request with `serve`.
pub(super) async fn endpoint<F, S>(serve: S) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Served) -> F + Clone + Send + 'static,
{
    endpoint_with(h2::server::Builder::new(), serve).await
}

/// The same with other limits.
pub(super) async fn endpoint_with<F, S>(builder: h2::server::Builder, serve: S) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Served) -> F + Clone + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let numbers = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (builder, serve, numbers) = (builder.clone(), serve.clone(), Arc::clone(&numbers));
            tokio::spawn(async move {
                let Ok(mut connection) = builder.handshake(socket).await else {
                    return;
                };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(serve(Served {
                        request,
                        respond,
                        number,
                    }));
                }
            });
        }
    });
    address
}

/// A backend with these endpoints.
pub(super) fn backend(endpoints: &[SocketAddr], traffic: BackendTraffic) -> Arc<Backend> {
    let endpoints = endpoints.iter().map(|address| BackendEndpoint {
        address: *address,
        weight: 1,
        workload: None,
        pod: None,
        node: None,
        zone: None,
        is_terminating: false,
    });
    Arc::new(Backend {
        name: ObjectName::new("shop", "cart"),
        port: 80,
        is_ipv6: false,
        endpoints: endpoints.collect(),
        traffic,
        set_by: BackendSetBy::default(),
        affinity_timeout_s: None,
    })
}

/// A rule that sends everything to one backend.
pub(super) fn rule(backend: &Arc<Backend>, traffic: CallTraffic) -> Rule {
    Rule {
        name: RuleName {
            object: ObjectId {
                kind: Kind::Service,
                name: ObjectName::new("shop", "cart"),
            },
            index: 0,
            name: None,
        },
        kind: RouteKind::Service,
        backends: Box::new([Share {
            to: Ok(Arc::clone(backend)),
            weight: 1,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            mirrors: Box::default(),
        }]),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        mirrors: Box::default(),
        traffic,
        set_by: CallSetBy::default(),
        fallback: None,
    }
}

/// A table with one port and this rule.
pub(super) fn table(backend: &Arc<Backend>, rule: Rule) -> RouteTable {
    let port = RoutedPort {
        service: ObjectName::new("shop", "cart"),
        port: 80,
        protocol: None,
        is_closed_on_failure: false,
        failure_mode_set_by: None,
        backend: Arc::clone(backend),
        producer: RuleSet::new(vec![(Arc::from([]), Arc::new(rule))]),
        consumers: BTreeMap::new(),
    };
    RouteTable::new(HashMap::from([(REQUESTED, Arc::new(port))]))
}

/// A proxy with a caller.
pub(super) struct Mesh {
    pub(super) shared: Arc<Shared>,
    pub(super) proxy: Arc<Proxy>,
    pub(super) drain: Drain,
}

impl Mesh {
    /// A proxy whose only rule sends everything to these endpoints.
    pub(super) fn new(endpoints: &[SocketAddr], traffic: CallTraffic) -> Self {
        let backend = backend(endpoints, BackendTraffic::default());
        let rule = rule(&backend, traffic);
        Self::with(table(&backend, rule), ProxySettings::default())
    }

    pub(super) fn with(table: RouteTable, settings: ProxySettings) -> Self {
        let shared = Shared::new(10_000);
        shared.follow(Arc::new(table));
        Self {
            proxy: Proxy::new(PlainConnect, Arc::clone(&shared), settings),
            shared,
            drain: Drain::new(),
        }
    }

    /// A socket whose other end the proxy serves.
    pub(super) async fn socket(&self) -> TcpStream {
        self.socket_of(Caller::default()).await
    }

    /// The same, of this caller.
    pub(super) async fn socket_of(&self, caller: Caller) -> TcpStream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (socket, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        let accepted = Accepted {
            stream,
            requested: REQUESTED,
            caller,
        };
        tokio::spawn(Arc::clone(&self.proxy).serve(accepted, self.drain.watch()));
        socket.unwrap()
    }

    /// A caller's connection.
    pub(super) async fn caller(&self) -> SendRequest<Bytes> {
        self.connect(Caller::default()).await
    }

    /// The connection of this caller.
    pub(super) async fn connect(&self, caller: Caller) -> SendRequest<Bytes> {
        let mut builder = h2::client::Builder::new();
        // Real callers do not end a connection for its many small answers.
        builder.data_frame_budget(1 << 30);
        let handshake = builder.handshake(self.socket_of(caller).await);
        let (caller, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        caller
    }

    /// Calls that have ended since it was last asked.
    pub(super) fn outcomes(&self) -> Vec<CallOutcome> {
        let mut outcomes = vec![];
        self.shared.outcomes.take(&mut outcomes);
        outcomes
    }

    /// Waits until nothing is under way.
    pub(super) async fn is_quiet(&self) {
        while self.shared.figures.calls() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// The head of a gRPC request.
pub(super) fn request(path: &str) -> Request<()> {
    Request::builder()
        .method("POST")
        .uri(format!("http://cart.shop{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// An answer as its caller sees it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) body: Vec<u8>,
    pub(super) trailers: HeaderMap,
}

impl Answer {
    /// The gRPC status, wherever it stands.
    pub(super) fn code(&self) -> &str {
        let status = self.trailers.get("grpc-status");
        let status = status.or_else(|| self.head.headers.get("grpc-status"));
        status.map_or("none", |status| status.to_str().unwrap())
    }

    /// Why the mesh answered.
    pub(super) fn mesh_error(&self) -> Option<&str> {
        let error = self.trailers.get("mesh-error");
        let error = error.or_else(|| self.head.headers.get("mesh-error"));
        error.map(|error| error.to_str().unwrap())
    }
}

/// Sends a request; the body is still to be sent.
pub(super) async fn open(
    caller: &SendRequest<Bytes>,
    request: Request<()>,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let mut caller = caller.clone().ready().await.unwrap();
    caller.send_request(request, false).unwrap()
}

/// Reads an answer to its end.
pub(super) async fn read(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = vec![];
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend(data);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Answer {
        head,
        body,
        trailers,
    })
}

/// Makes a unary call.
pub(super) async fn unary(
    caller: &SendRequest<Bytes>,
    request: Request<()>,
    content: &[u8],
) -> Result<Answer, h2::Error> {
    let (response, mut sender) = open(caller, request).await;
    sender.send_data(message(content), true)?;
    read(response).await
}

/// Lets everything happen that would have happened by now. What has to have happened is to be awaited instead: on a busy machine
/// the kernel takes its time.
pub(super) async fn settle() {
    // Each turn looks at the sockets.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass: nothing else is under way, or it would be late.
pub(super) async fn pass(time: std::time::Duration) {
    tokio::time::pause();
    tokio::time::sleep(time).await;
    tokio::time::resume();
    settle().await;
}
