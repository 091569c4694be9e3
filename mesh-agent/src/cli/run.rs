//! `mesh-agent run`

use super::arguments::ProbeArguments;
use super::{AdminArgument, CommandError, KernelArguments, Verdict};
use crate::kernel::LogLevel;
use std::path::PathBuf;

/// Settings of the daemon.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArguments {
    /// Directory of manifests (YAML), watched for changes
    #[arg(long, env = "MESH_CONFIG", value_name = "DIR")]
    pub config: PathBuf,

    /// Where the programs are attached and pinned.
    #[command(flatten)]
    pub kernel: KernelArguments,

    /// Where the admin server listens.
    #[command(flatten)]
    pub admin: AdminArgument,

    /// Allow an --admin address that other machines can reach
    #[arg(long, env = "MESH_ADMIN_REMOTE")]
    pub admin_remote: bool,

    /// Name of this node as EndpointSlices name it [default: the host name]
    #[arg(long, env = "MESH_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// Zone of this node [default: the label of its Node object]
    #[arg(long, env = "MESH_ZONE", value_name = "NAME")]
    pub zone: Option<String>,

    /// Region of this node [default: the label of its Node object]
    #[arg(long, env = "MESH_REGION", value_name = "NAME")]
    pub region: Option<String>,

    /// Sizes of the kernel maps.
    #[command(flatten)]
    pub capacities: CapacityArguments,

    /// How the agent logs.
    #[command(flatten)]
    pub log: LogArguments,

    /// A test aid.
    #[command(flatten)]
    pub probes: ProbeArguments,
}

/// Sizes of the kernel maps, fixed when the agent starts. Reaching one is counted and named in `status`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CapacityArguments {
    /// Services, each port and address family counted
    #[arg(long, env = "MESH_SERVICE_CAPACITY", value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub service_capacity: u32,

    /// Endpoints, each counted once per service, port and address family it stands in
    #[arg(long, env = "MESH_ENDPOINT_CAPACITY", value_name = "N", default_value_t = 32_768, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub endpoint_capacity: u32,

    /// Pairs of source and destination that connections are counted for
    #[arg(long, env = "MESH_CONNECTION_CAPACITY", value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub connection_capacity: u32,

    /// Processes of the host that are counted under their own name
    #[arg(long, env = "MESH_HOST_SOURCE_CAPACITY", value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub host_source_capacity: u32,

    /// Network namespaces known to belong to a workload
    #[arg(long, env = "MESH_NAMESPACE_CAPACITY", value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub namespace_capacity: u32,
}

/// How the agent logs.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArguments {
    /// What is logged: a level, or `target=level` pairs separated by commas
    #[arg(
        long,
        env = "MESH_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,

    /// How it is written to standard error
    #[arg(
        long,
        env = "MESH_LOG_FORMAT",
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub log_format: LogFormat,

    /// Forward messages of the kernel programs up to this level [default: none]
    #[arg(long, env = "MESH_KERNEL_LOG", value_enum, value_name = "LEVEL")]
    pub kernel_log: Option<KernelLogLevel>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Importance of a message of the kernel programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KernelLogLevel {
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

pub(super) fn execute(arguments: &RunArguments) -> Result<Verdict, CommandError> {
    crate::app::start_log(&arguments.log)?;
    crate::app::run(arguments)?;
    Ok(Verdict::Fine)
}
