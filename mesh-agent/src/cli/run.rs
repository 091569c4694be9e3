//! `mesh-agent run`

use super::arguments::{AccessLogArguments, ProbeArguments, TraceArguments};
use super::{AdminArgument, CommandError, KernelArguments, Verdict};
use crate::app::{self, LogFormat, Settings};
use crate::kernel::{self, Capacities, LogLevel};
use crate::model::NodeIdentity;
use std::fs;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// Settings of the daemon.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArguments {
    /// Directory of manifests (YAML), watched for changes
    #[arg(long, env = "MESH_CONFIG", value_name = "DIR")]
    pub(super) config: PathBuf,

    /// Where the programs are attached and pinned.
    #[command(flatten)]
    pub(super) kernel: KernelArguments,

    /// Where the admin server listens.
    #[command(flatten)]
    pub(super) admin: AdminArgument,

    /// Allow an --admin address that other machines can reach
    #[arg(long, env = "MESH_ADMIN_REMOTE")]
    pub(super) admin_remote: bool,

    /// Name of this node as EndpointSlices name it [default: the host name]
    #[arg(long, env = "MESH_NODE", value_name = "NAME")]
    pub(super) node: Option<String>,

    /// Zone of this node [default: the label of its Node object]
    #[arg(long, env = "MESH_ZONE", value_name = "NAME")]
    pub(super) zone: Option<String>,

    /// Region of this node [default: the label of its Node object]
    #[arg(long, env = "MESH_REGION", value_name = "NAME")]
    pub(super) region: Option<String>,

    /// The proxy of routed connections.
    #[command(flatten)]
    pub(super) proxy: ProxyArguments,

    /// Sizes of the kernel maps.
    #[command(flatten)]
    pub(super) capacities: CapacityArguments,

    /// Where spans go, and which.
    #[command(flatten)]
    pub(super) traces: TraceArguments,

    /// Where the access log goes.
    #[command(flatten)]
    pub(super) access_log: AccessLogArguments,

    /// How the agent logs.
    #[command(flatten)]
    pub(super) log: LogArguments,

    /// A test aid.
    #[command(flatten)]
    pub(super) probes: ProbeArguments,
}

/// The proxy of routed connections.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct ProxyArguments {
    /// Port of the proxy's listeners on loopback, inside each caller's network namespace; where it is taken, a free one
    #[arg(long, env = "MESH_PROXY_PORT", value_name = "PORT", default_value_t = 15_001, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) proxy_port: u16,

    /// Threads of the proxy [default: the number of CPUs, at most 4]
    #[arg(long, env = "MESH_PROXY_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) proxy_threads: Option<u16>,
}

impl ProxyArguments {
    fn threads(self) -> usize {
        self.proxy_threads.map_or_else(
            || available_parallelism().map_or(1, |cpus| cpus.get().min(PROXY_THREADS_MAX)),
            usize::from,
        )
    }
}

/// Threads of the proxy where nobody says how many: the node is there for its pods.
const PROXY_THREADS_MAX: usize = 4;

/// Sizes of the kernel maps, fixed when the agent starts. Reaching one is counted and named in `status`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct CapacityArguments {
    /// Services, each port and address family counted
    #[arg(long, env = "MESH_SERVICE_CAPACITY", value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(super) service_capacity: u32,

    /// Endpoints, each counted once per service, port and address family it stands in
    #[arg(long, env = "MESH_ENDPOINT_CAPACITY", value_name = "N", default_value_t = 32_768, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub(super) endpoint_capacity: u32,

    /// Pairs of source and destination that connections are counted for
    #[arg(long, env = "MESH_CONNECTION_CAPACITY", value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(super) connection_capacity: u32,

    /// RPCs that are open at once
    #[arg(long, env = "MESH_STREAM_CAPACITY", value_name = "N", default_value_t = 32_768, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub(super) stream_capacity: u32,

    /// Rows that RPCs are counted in: source, destination, method, status, and whose view it is
    #[arg(long, env = "MESH_RPC_CAPACITY", value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub(super) rpc_capacity: u32,

    /// Processes of the host that are counted under their own name
    #[arg(long, env = "MESH_HOST_SOURCE_CAPACITY", value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) host_source_capacity: u32,

    /// Network namespaces known to belong to a workload
    #[arg(long, env = "MESH_NAMESPACE_CAPACITY", value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) namespace_capacity: u32,
}

/// How the agent logs.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LogArguments {
    /// What is logged: a level, or `target=level` pairs separated by commas
    #[arg(long, env = "MESH_LOG", value_name = "FILTER", default_value = "info")]
    pub(super) log: String,

    /// How it is written to standard error
    #[arg(
        long,
        env = "MESH_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub(super) log_format: LogFormat,

    /// Forward messages of the kernel programs up to this level [default: none]
    #[arg(long, env = "MESH_KERNEL_LOG", value_enum, value_name = "LEVEL")]
    pub(super) kernel_log: Option<KernelLogLevel>,
}

/// Importance of a message of the kernel programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum KernelLogLevel {
    /// Errors alone.
    Error,
    /// And warnings.
    Warn,
    /// And information.
    Info,
    /// And a line for every decision.
    Debug,
    /// Everything.
    Trace,
}

impl From<KernelLogLevel> for LogLevel {
    fn from(level: KernelLogLevel) -> Self {
        match level {
            KernelLogLevel::Error => Self::Error,
            KernelLogLevel::Warn => Self::Warn,
            KernelLogLevel::Info => Self::Info,
            KernelLogLevel::Debug => Self::Debug,
            KernelLogLevel::Trace => Self::Trace,
        }
    }
}

impl From<CapacityArguments> for Capacities {
    fn from(arguments: CapacityArguments) -> Self {
        Self {
            services: arguments.service_capacity,
            endpoints: arguments.endpoint_capacity,
            connections: arguments.connection_capacity,
            streams: arguments.stream_capacity,
            rpcs: arguments.rpc_capacity,
            host_sources: arguments.host_source_capacity,
            namespaces: arguments.namespace_capacity,
        }
    }
}

impl RunArguments {
    fn settings(&self) -> Result<Settings, CommandError> {
        Ok(Settings {
            config: self.config.clone(),
            kernel: kernel::Settings {
                cgroup: self.kernel.cgroup()?,
                bpffs: self.kernel.bpffs.clone(),
                capacities: self.capacities.into(),
                log_level: self.log.kernel_log.map(Into::into),
                proxy_port: self.proxy.proxy_port,
            },
            proxy_threads: self.proxy.threads(),
            injections: self.probes.injections.clone(),
            node: self.node()?,
            admin: self.admin.admin,
            admin_remote: self.admin_remote,
            traces: self.traces.settings(),
            access_log: self.access_log.settings(),
        })
    }

    fn node(&self) -> Result<NodeIdentity, CommandError> {
        let name = match &self.node {
            Some(name) => name.clone(),
            None => fs::read_to_string("/proc/sys/kernel/hostname")?,
        };
        let name = name.trim();
        if name.is_empty() {
            return Err("the host has no name; give this node's with --node".into());
        }
        Ok(NodeIdentity {
            zone: self.zone.as_deref().map(Into::into),
            region: self.region.as_deref().map(Into::into),
            ..NodeIdentity::named(name)
        })
    }
}

pub(super) fn execute(arguments: &RunArguments) -> Result<Verdict, CommandError> {
    app::start_log(&arguments.log.log, arguments.log.log_format)?;
    app::run(&arguments.settings()?)?;
    Ok(Verdict::Fine)
}
