//! What the agent needs to know, already checked.

use crate::kernel;
use crate::model::NodeIdentity;
use crate::tracer::{AccessLogSettings, TraceChoice};
use std::net::SocketAddr;
use std::path::PathBuf;
use tonic::transport::Uri;

/// What the agent needs to know, already checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of the manifests.
    pub config: PathBuf,
    /// The kernel room's part.
    pub kernel: kernel::Settings,
    /// Threads of the proxy; at least one.
    pub proxy_threads: usize,
    /// Results of probes to pretend.
    pub injections: kernel::Injections,
    /// The node it runs on.
    pub node: NodeIdentity,
    /// Where the admin server listens.
    pub admin: SocketAddr,
    /// Whether that may be an address that other machines reach.
    pub admin_remote: bool,
    /// Where spans go; `None`: there are none.
    pub traces: Option<TraceSettings>,
    /// The access log of the routed path; `None`: there is none.
    pub access_log: Option<AccessLogSettings>,
}

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector.
    pub collector: Uri,
    /// Which RPCs give spans.
    pub choice: TraceChoice,
}
