//! L0: plain, validated types that every room speaks.

use std::fmt;
use std::sync::Arc;

/// Namespace and name of a Kubernetes object, printed as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The Kubernetes namespace.
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a service port speaks (`appProtocol`, else the port name's prefix); `None` elsewhere means: not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppProtocol {
    /// gRPC over HTTP/2 without TLS.
    Grpc,
    /// HTTP/2 without TLS, prior knowledge (`kubernetes.io/h2c`).
    H2c,
    /// HTTP/2 (`http2`).
    Http2,
    /// HTTP/1.
    Http,
    /// WebSocket over TLS (`kubernetes.io/wss`).
    Wss,
    /// Opaque bytes.
    Tcp,
}
