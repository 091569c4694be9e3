//! A collector of spans: an OTLP receiver on loopback.

use crate::deadline::eventually;
use crate::error::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot::{Sender, channel};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// How long spans may be on their way: they are delivered after a second.
const LIMIT: Duration = Duration::from_secs(10);

/// A span with those of its attributes, and of its resource's, that are text.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The span.
    pub span: Span,
    /// Attributes of the span.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of whose it is.
    pub resource: BTreeMap<String, String>,
}

impl Received {
    /// From its beginning to its end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let span = &self.span;
        Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano)
    }
}

/// A running receiver. Ends with its value.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: ReceivedSpans,
    _stop: Sender<()>,
}

type ReceivedSpans = Arc<Mutex<Vec<Received>>>;

impl Collector {
    /// Starts to listen.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn start() -> Result<Self> {
        let attempt = || "start a collector".to_owned();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context(attempt)?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context(attempt)?;
        let address = listener.local_addr().context(attempt)?;
        let received = ReceivedSpans::default();
        let service = TraceServiceServer::new(Receiver(Arc::clone(&received)));
        let (stop, stopped) = channel::<()>();
        std::thread::spawn(move || {
            let serving = Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                    // Ends with the other end.
                    drop(stopped.await);
                });
            runtime.block_on(serving)
        });
        Ok(Self {
            address,
            received,
            _stop: stop,
        })
    }

    /// For `--otlp`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Awaits that so many spans have come, and gives all that have, in the order in which they began, clients first.
    ///
    /// # Errors
    /// If fewer come.
    pub fn expect(&self, count: usize) -> Result<Vec<Received>> {
        let mut spans = eventually(&format!("{count} spans"), LIMIT, || {
            let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            if received.len() >= count {
                return Ok(received.clone());
            }
            Err(format!("{received:?}"))
        })?;
        spans.sort_by_key(|received| (received.span.start_time_unix_nano, -received.span.kind));
        Ok(spans)
    }
}

struct Receiver(ReceivedSpans);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> std::result::Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for group in request.into_inner().resource_spans {
            let resource = texts(&group.resource.unwrap_or_default().attributes);
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                received.push(Received {
                    attributes: texts(&span.attributes),
                    resource: resource.clone(),
                    span,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for attribute in attributes {
        let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        if let Some(Value::StringValue(text)) = value {
            texts.insert(attribute.key.clone(), text.clone());
        }
    }
    texts
}
