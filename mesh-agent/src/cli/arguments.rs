//! Flags that several commands share, or that make sense together only. Each is also an environment variable.

use crate::api::quantity::parse_duration;
use crate::app::{AccessLogSettings, TraceChoice, TraceSettings};
use crate::kernel::{self, Injections, KernelError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::Uri;

/// Where the programs are attached and pinned.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KernelArguments {
    /// Cgroup (v2) whose processes are in the mesh [default: the root of the cgroup2 mount]
    #[arg(long, env = "MESH_CGROUP", value_name = "PATH")]
    pub(super) cgroup: Option<PathBuf>,

    /// Directory on a bpf file system that holds the pins
    #[arg(
        long,
        env = "MESH_BPFFS",
        value_name = "DIR",
        default_value = "/sys/fs/bpf/mesh"
    )]
    pub(super) bpffs: PathBuf,
}

impl KernelArguments {
    /// The cgroup given, or the root of the cgroup2 mount.
    pub(super) fn cgroup(&self) -> Result<PathBuf, KernelError> {
        let given = self.cgroup.as_ref();
        given.map_or_else(kernel::find_cgroup2_mount, |path| Ok(path.clone()))
    }
}

/// Where a running agent is reached.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct AdminArgument {
    /// Address of the agent's admin server
    #[arg(
        long,
        env = "MESH_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:15000"
    )]
    pub(super) admin: SocketAddr,
}

/// Where spans of RPCs go, and which RPCs give some.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TraceArguments {
    /// Collector that gets spans of RPCs over OTLP/gRPC, as `http://HOST:PORT` [default: none]
    #[arg(long, env = "MESH_OTLP", value_name = "URL", value_parser = parse_collector)]
    pub(super) otlp: Option<Uri>,

    /// Share of RPCs that give spans where the caller did not decide (with --otlp; 0 to 1)
    #[arg(long, env = "MESH_TRACE_RATIO", value_name = "SHARE", default_value_t = 0.01, value_parser = parse_ratio)]
    pub(super) trace_ratio: f64,

    /// RPCs that take so long always give spans (with --otlp; 0s: none for that)
    #[arg(long, env = "MESH_TRACE_SLOW", value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(super) trace_slow: Duration,

    /// Whether RPCs that fail always give spans (with --otlp)
    #[arg(long, env = "MESH_TRACE_FAILED", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) trace_failed: bool,
}

impl TraceArguments {
    /// `None` without a collector.
    pub(super) fn settings(&self) -> Option<TraceSettings> {
        Some(TraceSettings {
            collector: self.otlp.clone()?,
            choice: TraceChoice {
                ratio: self.trace_ratio,
                slow: self.trace_slow,
                failed: self.trace_failed,
                parent: true,
            },
        })
    }
}

/// The access log of requests that go through the proxy.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AccessLogArguments {
    /// File that gets a line of JSON for each request that goes through the proxy; `-`: standard output [default: none]
    #[arg(long, env = "MESH_ACCESS_LOG", value_name = "FILE")]
    pub(super) access_log: Option<PathBuf>,

    /// Share of requests that get one; those that fail always do (with --access-log; 0 to 1)
    #[arg(long, env = "MESH_ACCESS_LOG_RATIO", value_name = "SHARE", default_value_t = 1.0, value_parser = parse_ratio)]
    pub(super) access_log_ratio: f64,
}

impl AccessLogArguments {
    /// `None` without a file.
    pub(super) fn settings(&self) -> Option<AccessLogSettings> {
        Some(AccessLogSettings {
            path: self.access_log.clone()?,
            ratio: self.access_log_ratio,
        })
    }
}

fn parse_collector(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("https"), _) => {
            Err("TLS is not built in; name a collector on this node by http://".to_owned())
        }
        _ => Err("write http://HOST:PORT".to_owned()),
    }
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("write a number from 0 to 1".to_owned()),
    }
}

/// A test aid: lets a probe fail on a machine where none does.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ProbeArguments {
    /// Results to pretend, as `probe=status:text`, separated by semicolons
    #[arg(
        id = "inject_probe",
        long = "inject-probe",
        env = "MESH_INJECT_PROBE",
        value_name = "RESULTS",
        hide = true,
        default_value = "",
        value_parser = Injections::parse
    )]
    pub(super) injections: Injections,
}
